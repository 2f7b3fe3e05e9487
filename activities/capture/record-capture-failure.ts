import { recordCaptureFailure } from '../../src/database/replications/looks.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import type { Roster } from '../../src/domain/replication.ts';
import type { Deps } from '../deps.ts';

/**
 * Puts a look that failed, or a release that was refused, on record. Sites keep serving what they
 * serve.
 */
export const createRecordCaptureFailure =
  (deps: Deps) =>
  (input: { readonly distribution: string; readonly report: ErrorReport }): Promise<Roster> => {
    deps.log.warn(input, 'capture failed');
    return recordCaptureFailure(deps.database, input.distribution, input.report);
  };
