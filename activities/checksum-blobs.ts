import { blobsToChecksum, recordChecksums, type BlobToChecksum } from '../src/database/checksums.ts';
import { openBlobs } from '../src/database/registry.ts';
import { takeVerify } from '../src/database/replications.ts';
import { LIMITS } from '../src/domain/limits.ts';
import type { Checksum } from '../src/site/site-store.ts';
import { isWorkerStopping, withHeartbeat } from './context.ts';
import { look } from './copy-blob.ts';
import type { Deps } from './deps.ts';
import { inParallel } from './in-parallel.ts';
import { countsOf, startSiteLane, type StepAnswer, type StepInput } from './lane.ts';

/**
 * Reads back for one slice, and hashes, what is not verified; everything, where somebody asked to verify. Judges nothing: the registry compares
 * what was read with the catalog. Given twice: what was booked is not read again.
 * @returns repair: blobs of the generation that are not at the site, or not right, once everything was read
 */
export const createChecksumBlobs =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer> => {
    const lane = await startSiteLane(deps, input);
    const end = Date.now() + (deps.sliceMs ?? LIMITS.sliceMs);
    let { row } = lane;

    const readPage = async (page: readonly BlobToChecksum[]): Promise<void> => {
      const read: (BlobToChecksum & { checksum: Checksum | null })[] = [];
      try {
        await inParallel(page, LIMITS.laneConcurrency, lane.context.signal, async (blob, signal) => {
          if (read.length > 0 && Date.now() >= end) return;
          read.push({ ...blob, checksum: await look(lane.store, lane.placeOf(blob.path), signal) });
        });
      } finally {
        if (read.length > 0) ({ row } = await recordChecksums(deps.database, lane.key, read));
      }
    };

    const work = async (): Promise<StepAnswer> => {
      const asked = lane.row.verifyRequestedAt === null ? null : await takeVerify(deps.database, lane.at, lane.key.attempt);
      for (;;) {
        const page = await blobsToChecksum(deps.database.read, lane.key, asked, LIMITS.batchFiles);
        if (page.length === 0) break;
        await readPage(page);
        if (Date.now() >= end) return { more: true, repair: 0, row };
      }
      const { claimable, elsewhere, failed } = await openBlobs(deps.database.read, lane.key);
      return { more: false, repair: claimable + elsewhere + (failed?.count ?? 0), row };
    };
    try {
      return await withHeartbeat(lane.context, () => countsOf(row), work);
    } catch (error) {
      if (isWorkerStopping(lane.context)) return { more: true, repair: 0, row };
      throw error;
    }
  };
