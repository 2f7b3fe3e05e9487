import { setTimeout as sleep } from 'node:timers/promises';
import { recordCorrupt } from '../src/database/lane.ts';
import { claimBlobs, countProgress, failBlobs, finishBlobs, openBlobs, releaseBlobs, type WantedBlob } from '../src/database/registry.ts';
import { DebgeoError, type ErrorReport } from '../src/domain/errors.ts';
import { LIMITS } from '../src/domain/limits.ts';
import type { Replication } from '../src/domain/replication.ts';
import type { Checksum } from '../src/site/site-store.ts';
import type { BlobSource } from './blob-source.ts';
import { isWorkerStopping, withHeartbeat } from './context.ts';
import { copyBlob, type OnCorrupt } from './copy-blob.ts';
import type { Deps } from './deps.ts';
import { inParallel } from './in-parallel.ts';
import { countsOf, startSiteLane, type SiteLane, type StepAnswer, type StepInput } from './lane.ts';
import { createOrigins } from './origins.ts';

/**
 * Copies for one slice what the site lacks of the generation, and reads back what it wrote. The registry is the only cursor.
 *
 * Given twice, or killed anywhere: what was written and not booked is found by the next attempt's conditional write and taken over.
 * A blob that no origin has right does not stop the others; the lane fails with it when nothing else is left.
 * @returns more: the slice ended first, also because its worker stops
 * @throws BLOB_MISSING, BLOB_MISMATCH, SITE_SERVES_OTHER; SUPERSEDED where a newer generation makes the missing blob pointless
 */
export const createSyncBlobs =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer> => {
    const lane = await startSiteLane(deps, input);
    const { signal } = lane.context;
    const slice = new Slice(deps, lane);
    const end = Date.now() + (deps.sliceMs ?? LIMITS.sliceMs);

    const work = async (): Promise<StepAnswer> => {
      do {
        signal.throwIfAborted();
        const batch = await claimBlobs(deps.database, lane.key, LIMITS.batchFiles, LIMITS.batchBytes);
        if (batch.length > 0) await slice.copy(batch);
        else if (await slice.isDone()) return { more: false, repair: 0, row: await countProgress(deps.database, lane.key) };
        else await sleep(LIMITS.claimPollMs, undefined, { signal });
      } while (Date.now() < end);
      return { more: true, repair: 0, row: slice.row };
    };
    try {
      return await withHeartbeat(lane.context, () => countsOf(slice.row), work);
    } catch (error) {
      await releaseBlobs(deps.database, lane.key).catch((cause: unknown) =>
        deps.log.warn({ ...lane.at, cause }, 'claims are freed by the next attempt'),
      );
      if (isWorkerStopping(lane.context)) return { more: true, repair: 0, row: slice.row };
      throw error;
    }
  };

class Slice {
  /** As committed by the last batch. */
  row: Replication;
  readonly #deps: Deps;
  readonly #lane: SiteLane;
  readonly #source: BlobSource;
  readonly #onCorrupt: OnCorrupt;
  #firstFailure: ErrorReport | null = null;

  constructor(deps: Deps, lane: SiteLane) {
    this.row = lane.row;
    this.#deps = deps;
    this.#lane = lane;
    this.#source = createOrigins(deps, lane);
    this.#onCorrupt = (blob, found) =>
      recordCorrupt(deps.database.read, lane.key, { path: blob.path, expected: blob.sha256, found: found.sha256 });
  }

  /** Copies a batch and books it in one commit, also what was done before an error or a cancel ended it. */
  async copy(batch: readonly WantedBlob[]): Promise<void> {
    const { database } = this.#deps;
    const done: { pathId: number; blobId: number; checksum: Checksum }[] = [];
    const failed: { pathId: number; report: ErrorReport }[] = [];
    let archiveError: DebgeoError | null = null;

    const copyOne = async (blob: WantedBlob, signal: AbortSignal): Promise<void> => {
      try {
        const checksum = await copyBlob(this.#lane, this.#source, blob, signal, this.#onCorrupt);
        done.push({ pathId: blob.pathId, blobId: blob.blobId, checksum });
      } catch (error) {
        if (!(error instanceof DebgeoError)) throw error;
        if (error.code === 'BLOB_MISSING' || error.code === 'BLOB_MISMATCH') failed.push({ pathId: blob.pathId, report: error.report });
        else if (error.code.startsWith('ARCHIVE_')) archiveError ??= error;
        else throw error;
      }
    };
    try {
      await inParallel(batch, LIMITS.laneConcurrency, this.#lane.context.signal, copyOne);
      if (archiveError !== null) throw archiveError as DebgeoError;
    } finally {
      this.#firstFailure ??= failed[0]?.report ?? null;
      if (done.length > 0) this.row = await finishBlobs(database, this.#lane.key, done);
      if (failed.length > 0) await failBlobs(database, this.#lane.key, failed);
    }
  }

  /** Whether nothing is left to claim; false also while lanes of other distributions copy blobs that this generation shares with them. */
  async isDone(): Promise<boolean> {
    const open = await openBlobs(this.#deps.database.read, this.#lane.key);
    if (open.claimable > 0 || open.elsewhere > 0) return false;
    if (open.failed !== null) throw this.#failureOf(open.failed);
    return true;
  }

  #failureOf(failed: { count: number; code: ErrorReport['code']; path: string }): DebgeoError {
    const { generation } = this.#lane.key;
    const pointless =
      (failed.code === 'BLOB_MISSING' || failed.code === 'BLOB_MISMATCH') && this.row.target > generation && !this.row.publishing;
    const { expected, found } = this.#firstFailure ?? {};
    return new DebgeoError(
      pointless ? 'SUPERSEDED' : failed.code,
      `${failed.count} of the files of generation ${generation} cannot be had right, the first is ${failed.path}`,
      {
        ...(expected === undefined ? {} : { expected }),
        ...(found === undefined ? {} : { found }),
        state: 'everything else of the generation is at the site; nothing was published',
      },
    );
  }
}
