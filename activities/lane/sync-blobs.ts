import { setTimeout as sleep } from 'node:timers/promises';

import { openBlobs } from '../../src/database/registry/barrier.ts';
import {
  claimBlobs,
  failBlobs,
  finishBlobs,
  releaseBlobs,
  type WantedBlob,
} from '../../src/database/registry/claims.ts';
import { recordCorrupt } from '../../src/database/registry/judgements.ts';
import { countProgress } from '../../src/database/registry/progress.ts';
import { isUnreachable } from '../../src/database/unreachable.ts';
import type { Checksum } from '../../src/domain/checksum.ts';
import { DebgeoError, type ErrorReport } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Replication } from '../../src/domain/replication.ts';
import { activityContext, isWorkerStopping, withHeartbeat } from '../context.ts';
import type { Deps } from '../deps.ts';
import { inParallel } from '../in-parallel.ts';
import { Ledger } from '../ledger.ts';
import type { BlobSource } from './blob-source.ts';
import { copyBlob, type OnCorrupt } from './copy-blob.ts';
import { createOrigins, isOfOneFile } from './origins.ts';
import { plan } from './plan-sync.ts';
import {
  countsOf,
  beginSiteStep,
  type SiteStep,
  type StepAnswer,
  type StepInput,
  type Unanswered,
} from './step.ts';

/**
 * Copies for one slice what the site lacks of the generation, and reads back what it wrote; where
 * the input says so, it plans first. The registry is the only cursor.
 *
 * Given twice, or killed anywhere: what was written and not booked is found by the next attempt's
 * conditional write and taken over. A blob that no origin has right does not stop the others; the
 * step fails with it when nothing else is left.
 *
 * Planning has its own patience: while the database cannot be reached, the step ends well and is
 * given again. Nothing else can be done without it, and three attempts would not outlast a restart.
 * @returns more: the slice ended first, also because its worker stops
 * @throws BLOB_MISSING, BLOB_MISMATCH, SITE_SERVES_OTHER; SUPERSEDED where a newer generation makes
 *   the missing blob pointless; with `plan` PATH_CONFLICT, SNAPSHOT_EMPTY
 */
export const createSyncBlobs =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer | Unanswered> => {
    if (!input.plan) return copySlice(deps, await beginSiteStep(deps, input));
    let step: SiteStep;
    try {
      step = await beginSiteStep(deps, input);
      const { context, row } = step;
      await withHeartbeat(
        context,
        () => countsOf(row),
        () => plan(deps, step),
      );
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      deps.log.warn(
        { ...input, error },
        'the database cannot be reached; planned again in a moment',
      );
      await waitForDatabase();
      return { more: true, repair: 0 };
    }
    return { ...(await copySlice(deps, step)), planned: true };
  };

const waitForDatabase = (): Promise<void> => {
  const context = activityContext();
  const wait = () => sleep(LIMITS.databaseWaitMs, undefined, { signal: context.signal });
  return withHeartbeat(context, () => ({}), wait);
};

async function copySlice(deps: Deps, step: SiteStep): Promise<StepAnswer> {
  const { signal } = step.context;
  const slice = new Slice(deps, step);
  const end = Date.now() + (deps.sliceMs ?? LIMITS.sliceMs);

  const work = async (): Promise<StepAnswer> => {
    do {
      signal.throwIfAborted();
      if ((await slice.copyUntil(end)) > 0) continue;
      if (await slice.isDone())
        return { more: false, repair: 0, row: await countProgress(deps.database, step.key) };
      await sleep(LIMITS.claimPollMs, undefined, { signal });
    } while (Date.now() < end);
    return { more: true, repair: 0, row: slice.row };
  };
  try {
    const answer = await withHeartbeat(step.context, () => countsOf(slice.row), work);
    deps.log.debug(
      { ...step.at, ...deps.spool?.counts },
      'a slice ended; what this worker has read and shared',
    );
    return answer;
  } catch (error) {
    await releaseBlobs(deps.database, step.key).catch((cause: unknown) =>
      deps.log.warn({ ...step.at, cause }, 'claims stay until the next attempt frees them'),
    );
    if (isWorkerStopping(step.context)) return { more: true, repair: 0, row: slice.row };
    throw error;
  }
}

interface Done {
  readonly pathId: number;
  readonly blobId: number;
  readonly checksum: Checksum;
}

const isOfOneBlob = (error: DebgeoError): boolean =>
  error.code === 'BLOB_MISSING' || error.code === 'BLOB_MISMATCH';

class Slice {
  /** As committed by the last batch. */
  row: Replication;
  readonly #deps: Deps;
  readonly #step: SiteStep;
  readonly #source: BlobSource;
  readonly #onCorrupt: OnCorrupt;
  #firstFailure: ErrorReport | null = null;
  /**
   * Why the archive does not give out some blobs, which stay claimed: the slice goes on without
   * them, and throws this when nothing else is left.
   */
  #heldBack: DebgeoError | null = null;

  constructor(deps: Deps, step: SiteStep) {
    this.row = step.row;
    this.#deps = deps;
    this.#step = step;
    this.#source = createOrigins(deps, step);
    this.#onCorrupt = (blob, found) =>
      recordCorrupt(deps.database.read, step.key, {
        path: blob.path,
        expected: blob.sha256,
        found: found.sha256,
      });
  }

  /**
   * Copies the blobs that it can claim, and books them in sets as it goes: also what was copied
   * before an error or a cancel ended it.
   * @returns how many blobs it claimed
   */
  async copyUntil(end: number): Promise<number> {
    const { database } = this.#deps;
    const { key, context } = this.#step;
    const failed: { pathId: number; report: ErrorReport }[] = [];
    let archiveError: DebgeoError | null = null;
    let claimed = 0;
    const done = new Ledger<Done>(LIMITS.bookFiles, async (set) => {
      this.row = await finishBlobs(database, key, set);
    });

    const copyOne = async (blob: WantedBlob, signal: AbortSignal): Promise<void> => {
      claimed += 1;
      try {
        const checksum = await copyBlob(this.#step, this.#source, blob, signal, this.#onCorrupt);
        await done.add({ pathId: blob.pathId, blobId: blob.blobId, checksum });
      } catch (error) {
        if (!(error instanceof DebgeoError)) throw error;
        if (isOfOneBlob(error)) failed.push({ pathId: blob.pathId, report: error.report });
        else if (isOfOneFile(error)) this.#heldBack ??= error;
        else if (error.code.startsWith('ARCHIVE_')) archiveError ??= error;
        else throw error;
      }
    };
    try {
      await inParallel(
        this.#claim(end, () => archiveError !== null),
        LIMITS.laneConcurrency,
        context.signal,
        copyOne,
      );
      if (archiveError !== null) throw archiveError as DebgeoError;
    } finally {
      this.#firstFailure ??= failed[0]?.report ?? null;
      await done.close();
      if (failed.length > 0) await failBlobs(database, key, failed);
    }
    return claimed;
  }

  /** One batch ahead of what is being copied: a claim costs a round trip to the database. */
  async *#claim(end: number, isOver: () => boolean): AsyncGenerator<WantedBlob> {
    const claimBehind = (pathId: number): Promise<WantedBlob[]> => {
      const batch =
        Date.now() >= end || isOver()
          ? Promise.resolve([])
          : claimBlobs(
              this.#deps.database,
              this.#step.key,
              LIMITS.batchFiles,
              LIMITS.batchBytes,
              pathId,
            );
      batch.catch(() => undefined); // thrown when the batch is awaited
      return batch;
    };
    let next = claimBehind(0);
    try {
      for (let batch = await next; batch.length > 0; batch = await next) {
        next = claimBehind(batch.at(-1)!.pathId);
        yield* batch;
      }
    } finally {
      await next.catch(() => undefined);
    }
  }

  /**
   * Whether nothing is left to claim; false also while lanes of other distributions copy blobs that
   * this generation shares with them.
   */
  async isDone(): Promise<boolean> {
    const open = await openBlobs(this.#deps.database.read, this.#step.key);
    if (open.claimable > 0) return false;
    if (this.#heldBack !== null) throw this.#heldBack;
    if (open.elsewhere > 0) return false;
    if (open.failed !== null) throw this.#failureOf(open.failed);
    return true;
  }

  #failureOf(failed: { count: number; code: ErrorReport['code']; path: string }): DebgeoError {
    const { generation } = this.#step.key;
    const pointless =
      (failed.code === 'BLOB_MISSING' || failed.code === 'BLOB_MISMATCH') &&
      this.row.target > generation &&
      !this.row.publishing;
    const { expected, found } = this.#firstFailure ?? {};
    const { count, path } = failed;
    return new DebgeoError(
      pointless ? 'SUPERSEDED' : failed.code,
      `no origin has ${count} files of generation ${generation} right, the first is ${path}`,
      {
        ...(expected === undefined ? {} : { expected }),
        ...(found === undefined ? {} : { found }),
        state: 'everything else of the generation is at the site; nothing was published',
      },
    );
  }
}
