import { setTimeout as sleep } from 'node:timers/promises';

import { openBlobs } from '../../src/database/registry/barrier.ts';
import {
  claimBlobs,
  failBlobs,
  finishBlobs,
  type WantedBlob,
} from '../../src/database/registry/claims.ts';
import { recordCorrupt } from '../../src/database/registry/judgements.ts';
import { endStep } from '../../src/database/registry/progress.ts';
import { readReplication } from '../../src/database/replication-row.ts';
import { isUnreachable } from '../../src/database/unreachable.ts';
import type { Checksum } from '../../src/domain/checksum.ts';
import { DebgeoError, type ErrorReport } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { BlobSource } from '../blob-source.ts';
import { confirmSite } from '../confirm-site.ts';
import { activityContext, withHeartbeat } from '../context.ts';
import { copyBlob, type OnCorrupt, type Place } from '../copy-blob.ts';
import type { Deps } from '../deps.ts';
import { inParallel } from '../in-parallel.ts';
import { Ledger } from '../ledger.ts';
import { createOrigins, isOfOneFile } from '../origins.ts';
import { clearDoubtedConflicts } from './doubted-conflicts.ts';
import { plan } from './plan-sync.ts';
import {
  atSite,
  inStep,
  type SiteStep,
  type Step,
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
 * @throws BLOB_MISSING, BLOB_MISMATCH, BLOB_UNREACHABLE, SITE_SERVES_OTHER; SUPERSEDED where a
 *   newer generation makes the missing blob pointless; with `plan` PATH_CONFLICT, SNAPSHOT_EMPTY
 */
export const createSyncBlobs =
  (deps: Deps) =>
  async (input: StepInput): Promise<StepAnswer | Unanswered> => {
    try {
      return await inStep(deps, input, async (begun) => {
        if (input.plan) await planWhatIsTrue(deps, begun);
        const answer = await copySlice(deps, await atSite(deps, begun));
        return input.plan ? { ...answer, planned: true } : answer;
      });
    } catch (error) {
      if (!input.plan || !isUnreachable(error)) throw error;
      deps.log.warn({ ...input, error }, 'the database cannot be reached; planned again soon');
      await waitForDatabase();
      return { more: true, repair: 0 };
    }
  };

/** What is in the way of the generation, and not believed to be there, is looked at first. */
async function planWhatIsTrue(deps: Deps, begun: Step): Promise<void> {
  for (;;)
    try {
      return await plan(deps, begun);
    } catch (error) {
      const isConflict = error instanceof DebgeoError && error.code === 'PATH_CONFLICT';
      if (!isConflict || !(await clearDoubtedConflicts(deps, await atSite(deps, begun))))
        throw error;
    }
}

const waitForDatabase = (): Promise<void> => {
  const context = activityContext();
  const wait = () => sleep(LIMITS.databaseWaitMs, undefined, { signal: context.signal });
  return withHeartbeat(context, () => ({}), wait);
};

async function copySlice(deps: Deps, step: SiteStep): Promise<StepAnswer> {
  const { signal } = step.context;
  const slice = new Slice(deps, step);
  const end = Date.now() + (deps.sliceMs ?? LIMITS.sliceMs);
  const ended = async (more: boolean): Promise<StepAnswer> => {
    deps.log.debug(
      { ...step.at, ...deps.spool?.counts },
      'a slice ended; what this worker has read and shared',
    );
    const counting = more ? 'own' : 'anew';
    return { more, repair: 0, row: await endStep(deps.database, step.key, counting) };
  };
  do {
    signal.throwIfAborted();
    const claimed = await slice.copyUntil(end);
    if (await slice.isDone()) return ended(false);
    if (claimed === 0) await sleep(LIMITS.claimPollMs, undefined, { signal });
  } while (Date.now() < end);
  return ended(true);
}

interface Done {
  readonly pathId: number;
  readonly blobId: number;
  readonly checksum: Checksum;
}

const isOfOneBlob = ({ code }: Pick<DebgeoError, 'code'>): boolean =>
  ['BLOB_MISSING', 'BLOB_MISMATCH', 'BLOB_UNREACHABLE'].includes(code);

/** An older copy of the site is read back and repaired. @throws SITE_AHEAD, SITE_TAKEN */
async function confirmNotAhead({ database }: Deps, { store, key, context }: SiteStep) {
  try {
    await confirmSite({ database, store, siteId: key.siteId, signal: context.signal });
  } catch (error) {
    if (!(error instanceof DebgeoError && error.code === 'SITE_BEHIND')) throw error;
  }
}

class Slice {
  readonly #deps: Deps;
  readonly #step: SiteStep;
  readonly #source: BlobSource;
  readonly #onCorrupt: OnCorrupt;
  readonly #place: Place;
  #firstFailure: ErrorReport | null = null;
  /**
   * Why the archive does not give out some blobs, which stay claimed: the slice goes on without
   * them, and throws this when nothing else is left.
   */
  #heldBack: DebgeoError | null = null;

  constructor(deps: Deps, step: SiteStep) {
    this.#deps = deps;
    this.#step = step;
    this.#source = createOrigins(deps, step);
    let confirmed: Promise<void> | undefined;
    const beforeReplacing = () => (confirmed ??= confirmNotAhead(deps, step));
    this.#place = { store: step.store, placeOf: (path) => step.placeOf(path), beforeReplacing };
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
      this.#step.settle(await finishBlobs(database, key, set));
    });

    const copyOne = async (blob: WantedBlob, signal: AbortSignal): Promise<void> => {
      claimed += 1;
      try {
        const checksum = await copyBlob(this.#place, this.#source, blob, signal, this.#onCorrupt);
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

  /**
   * One batch ahead of what is being copied: a claim costs a round trip to the database. A batch
   * that reaches no bound is the last.
   */
  async *#claim(end: number, isOver: () => boolean): AsyncGenerator<WantedBlob> {
    const { batchFiles, batchBytes } = LIMITS;
    const isFull = (batch: readonly WantedBlob[]): boolean =>
      batch.length >= batchFiles ||
      batch.reduce((bytes, { size }) => bytes + size, 0) >= batchBytes;
    const claimBehind = (before: readonly WantedBlob[] | null): Promise<WantedBlob[]> => {
      const isLast = Date.now() >= end || isOver() || (before !== null && !isFull(before));
      const pathId = before?.at(-1)!.pathId ?? 0;
      const batch = isLast
        ? Promise.resolve([])
        : claimBlobs(this.#deps.database, this.#step.key, batchFiles, batchBytes, pathId);
      batch.catch(() => undefined); // thrown when the batch is awaited
      return batch;
    };
    let next = claimBehind(null);
    try {
      for (let batch = await next; batch.length > 0; batch = await next) {
        next = claimBehind(batch);
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
    if (open.failed !== null) throw await this.#failureOf(open.failed);
    return true;
  }

  async #failureOf(failed: {
    count: number;
    code: ErrorReport['code'];
    path: string;
  }): Promise<DebgeoError> {
    const { key } = this.#step;
    const { generation } = key;
    const row = await readReplication(this.#deps.database.read, key);
    const pointless = isOfOneBlob(failed) && row.target > generation && !row.publishing;
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
