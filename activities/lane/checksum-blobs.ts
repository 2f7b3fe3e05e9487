import { openBlobs } from '../../src/database/registry/barrier.ts';
import {
  blobsToChecksum,
  recordChecksums,
  type BlobToChecksum,
} from '../../src/database/registry/checksums.ts';
import { endStep } from '../../src/database/registry/progress.ts';
import type { LaneKey } from '../../src/database/replication-row.ts';
import type { Checksum } from '../../src/domain/checksum.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Deps } from '../deps.ts';
import { inParallel } from '../in-parallel.ts';
import { Ledger } from '../ledger.ts';
import { readBack } from '../read-back.ts';
import { atSite, inStep, type SiteStep, type StepAnswer, type StepInput } from './step.ts';

/**
 * Reads back and hashes, for one slice, the blobs that are not verified; after `verify` all of
 * them. Judges nothing: the registry compares what was read with the catalog. Given twice: what was
 * booked is not read again.
 * @returns repair: blobs of the generation that are not at the site, or not right, once everything
 *   was read
 */
export const createChecksumBlobs =
  (deps: Deps) =>
  (input: StepInput): Promise<StepAnswer> =>
    inStep(deps, input, async (step) => readSlice(deps, await atSite(deps, step)), {
      takesVerify: true,
    });

async function readSlice(deps: Deps, step: SiteStep): Promise<StepAnswer> {
  const { key, context } = step;
  const { database } = deps;
  const end = Date.now() + (deps.sliceMs ?? LIMITS.sliceMs);

  /** @returns how many blobs it read */
  const readUntil = async (): Promise<number> => {
    let read = 0;
    const ledger = new Ledger<BlobToChecksum & { checksum: Checksum | null }>(
      LIMITS.batchFiles,
      async (set) => step.settle(await recordChecksums(database, key, set)),
    );
    try {
      await inParallel(
        blobsUntil(deps, key, step.row.verifyRequestedAt, end),
        LIMITS.laneConcurrency,
        context.signal,
        async (blob, signal) => {
          read += 1;
          await ledger.add({
            ...blob,
            checksum: await readBack(step.store, step.placeOf(blob.path), signal),
          });
        },
      );
    } finally {
      await ledger.close();
    }
    return read;
  };

  while ((await readUntil()) > 0) {
    if (Date.now() >= end) return { more: true, repair: 0, row: await endStep(database, key) };
  }
  const { claimable, elsewhere, failed } = await openBlobs(database.read, key);
  const repair = claimable + elsewhere + (failed?.count ?? 0);
  return { more: false, repair, row: await endStep(database, key) };
}

/**
 * The blobs to read back, one page ahead of what is being read. The first is given out also after
 * `end`, so that every slice makes progress.
 * @param asked the `verify` that is answered, by its time; null: none is
 */
async function* blobsUntil(
  deps: Deps,
  key: LaneKey,
  asked: number | null,
  end: number,
): AsyncGenerator<BlobToChecksum> {
  const pageBehind = (pathId: number): Promise<BlobToChecksum[]> => {
    const page = blobsToChecksum(deps.database.read, key, asked, pathId, LIMITS.batchFiles);
    page.catch(() => undefined); // thrown when the page is awaited
    return page;
  };
  let isFirst = true;
  let next = pageBehind(0);
  for (let page = await next; page.length > 0; page = await next) {
    next = pageBehind(page.at(-1)!.pathId);
    for (const blob of page) {
      if (!isFirst && Date.now() >= end) return;
      isFirst = false;
      yield blob;
    }
  }
}
