import { memberAtSite, recordChecksums } from '../../src/database/registry/checksums.ts';
import type { Blob } from '../../src/domain/blob.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import type { Deps } from '../deps.ts';
import { readBack } from '../read-back.ts';
import type { SiteStep } from './step.ts';

/**
 * For a member that readers are shown other than it is: returns if the site itself holds the right
 * bytes, so that something between it and its readers is to blame. Else it is rot, and booked as
 * such: the next attempt of the lane repairs it.
 * @throws BLOB_CORRUPT
 */
export async function assertRightAtSite(deps: Deps, step: SiteStep, blob: Blob): Promise<void> {
  const member = await memberAtSite(deps.database.read, step.key, blob.path);
  if (member === null) return;
  const checksum = await readBack(step.store, step.placeOf(blob.path), step.context.signal);
  if (checksum?.sha256 === blob.sha256) return;
  step.settle(await recordChecksums(deps.database, step.key, [{ ...member, checksum }]));
  throw new DebgeoError('BLOB_CORRUPT', `the site holds other bytes at ${blob.path}`, {
    expected: blob.sha256,
    found: checksum?.sha256 ?? 'nothing',
    state: 'readers were shown them, too; the lane copies the file again',
  });
}
