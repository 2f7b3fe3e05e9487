import { recordCaptureFailure } from '../../src/database/replications/looks.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import type { Roster } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';

/**
 * Commits that a look failed, or a release was refused, and with it when the archive is looked at
 * again. Sites keep serving what they serve.
 */
export const createRecordCaptureFailure =
  (deps: Deps) =>
  (input: { readonly distribution: string; readonly report: ErrorReport }): Promise<Roster> => {
    deps.log.warn(input, 'capture failed');
    return recordCaptureFailure(deps.database, input.distribution, input.report);
  };
