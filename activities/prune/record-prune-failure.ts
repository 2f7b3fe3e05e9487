import { recordPruneFailure } from '../../src/database/prune/prunes.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import type { SitePrune } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';
import type { PruneInput } from './prune-blobs.ts';

/** Commits that the prune of a site failed, and with it when it is tried again. */
export const createRecordPruneFailure =
  (deps: Deps) =>
  (input: PruneInput & { readonly report: ErrorReport }): Promise<SitePrune> => {
    deps.log.warn(input, 'prune failed');
    return recordPruneFailure(deps.database, input.site, input.report, input.ticket ?? null);
  };
