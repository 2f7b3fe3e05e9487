import { recordScrubFailure } from '../../src/database/scrub/scrubs.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import type { SiteScrub } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';
import type { ScrubInput } from './scrub-slice.ts';

/** Commits that a slice of a scrub failed, and with it when it is tried again. */
export const createRecordScrubFailure =
  (deps: Deps) =>
  (input: ScrubInput & { readonly report: ErrorReport }): Promise<SiteScrub> => {
    deps.log.warn(input, 'scrub failed');
    return recordScrubFailure(deps.database, input.site, input.report, input.ticket ?? null);
  };
