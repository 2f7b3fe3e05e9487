import {
  bookFound,
  bookGone,
  claimMarked,
  type PruneClaim,
  type Undeleted,
  type UnneededBlob,
} from '../../src/database/prune/marked-blobs.ts';
import { endDeleting, loadPrune, startDeleting } from '../../src/database/prune/prunes.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { SitePrune, Ticketed } from '../../src/domain/replication.ts';
import { sitePath, type RepoPath } from '../../src/domain/repo-path.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import { confirmKnown } from '../confirm-site.ts';
import {
  activityContext,
  isWorkerStopping,
  withHeartbeat,
  type ActivityContext,
} from '../context.ts';
import type { Deps } from '../deps.ts';
import { inParallel } from '../in-parallel.ts';
import { readBack } from '../read-back.ts';
import { announcePrune } from './announce-prune.ts';
import { removeReleases } from './remove-releases.ts';

/** One site: ids only (I4). */
export interface PruneInput extends Ticketed {
  readonly site: string;
}

export interface PruneAnswer {
  /** The slice ended before the work did. */
  readonly more: boolean;
  /** As committed last. */
  readonly row: SitePrune;
}

/**
 * Deletes for one slice what is marked at the site: before each batch the site has to be as the
 * database believes, each H says that files are deleted before one is, and R goes before the blobs
 * that only R named. Each deletion is conditional on
 * the ETag of a version, which is booked before.
 *
 * Given twice, or killed anywhere: rows stay marked until they are booked as gone; the next attempt
 * takes them, and finds that the blobs are gone. Where a newer ticket came before, nothing is done,
 * and the row says so.
 * @throws SITE_* the site itself; what was deleted before is booked
 * @throws ANCHOR_UNREADABLE
 */
export const createPruneBlobs =
  (deps: Deps) =>
  async (input: PruneInput): Promise<PruneAnswer> => {
    const { site, ticket = null } = input;
    const { database } = deps;
    const context = activityContext();
    const begun = await startDeleting(database, site, ticket, context.attempt);
    if ('stale' in begun) return { more: true, row: begun.stale };

    const counts = { deleted: 0 };
    const work = async (): Promise<{ more: boolean }> => {
      const { store } = await deps.siteOf(site);
      const at = { database, store, siteId: begun.siteId, signal: context.signal };
      const confirm = () => confirmKnown(at);
      await removeReleases(at, confirm);
      const pruner = new Pruner(deps, begun, store, context);
      const end = Date.now() + (deps.sliceMs ?? LIMITS.sliceMs);
      for (;;) {
        const batch = await claimMarked(database, begun, LIMITS.batchFiles);
        if (batch.length === 0) return { more: false };
        await confirm();
        if (counts.deleted === 0) await announcePrune(at);
        counts.deleted += await pruner.deleteAll(batch);
        if (Date.now() >= end) return { more: true };
      }
    };
    const ended = () => endDeleting(database, begun);
    try {
      const { more } = await withHeartbeat(context, () => counts, work);
      await ended();
      return { more, row: await loadPrune(database, site) };
    } catch (error) {
      await ended().catch((cause: unknown) =>
        deps.log.warn({ site, cause }, 'a claim stays until the next attempt ends it'),
      );
      if (isWorkerStopping(context)) return { more: true, row: await loadPrune(database, site) };
      throw error;
    }
  };

const HELD = 'the file stays; prune asks again every day';

class Pruner {
  readonly #deps: Deps;
  readonly #claim: PruneClaim;
  readonly #store: SiteStore;
  readonly #context: ActivityContext;

  constructor(deps: Deps, claim: PruneClaim, store: SiteStore, context: ActivityContext) {
    this.#deps = deps;
    this.#claim = claim;
    this.#store = store;
    this.#context = context;
  }

  /**
   * Deletes a batch and books it in one commit, also what was deleted before an error or a cancel
   * ended it.
   * @returns how many blobs are gone
   */
  async deleteAll(batch: readonly UnneededBlob[]): Promise<number> {
    const gone: UnneededBlob[] = [];
    const undeleted: Undeleted[] = [];
    try {
      await inParallel(
        batch,
        LIMITS.laneConcurrency,
        this.#context.signal,
        async (blob, signal) => {
          const outcome = await this.#delete(blob, signal);
          if (outcome === 'gone') gone.push(blob);
          else if (outcome !== 'needed') undeleted.push({ blob, report: outcome });
        },
      );
    } finally {
      await bookGone(this.#deps.database, this.#claim, gone, undeleted);
    }
    for (const { blob, report } of undeleted)
      this.#deps.log.warn({ site: this.#store.site, path: blob.path, report }, 'left at the site');
    return gone.length;
  }

  /** `needed`: a snapshot or a lane needs the blob by now, or another attempt deletes it. */
  async #delete(
    blob: UnneededBlob,
    signal: AbortSignal,
  ): Promise<'gone' | 'needed' | Undeleted['report']> {
    const place = sitePath(blob.mount, blob.path);
    const state = 'these bytes were left as they are; delete them if they are not needed';
    let { etag } = blob;
    for (let conflicts = 0; ; conflicts += 1) {
      const removed = etag === null ? 'conflict' : await this.#remove(place, etag, signal);
      if (removed === 'gone') return 'gone';
      if (typeof removed === 'object') return { ...removed, state: HELD };

      // No ETag is on record, or another version is there: ours by its bytes, or another program's.
      const found = await readBack(this.#store, place, signal);
      if (found === null) return 'gone';
      if (found.etag === etag || conflicts > LIMITS.conflictsMax)
        return {
          code: 'BLOB_HELD',
          message: `the site does not delete ${place}: an immutability policy or a lease, perhaps`,
          state: HELD,
        };
      if (found.sha256 !== blob.sha256)
        return {
          code: 'FOREIGN_WRITE',
          message: `another program wrote to ${blob.path}, which nothing needs any more`,
          expected: blob.sha256,
          found: found.sha256,
          state,
        };
      if (!(await bookFound(this.#deps.database, this.#claim, blob.pathId, found.etag)))
        return 'needed';
      etag = found.etag;
    }
  }

  /**
   * A blob that the site keeps (a lease, a legal hold, a policy of immutability) holds up no other.
   */
  async #remove(
    place: RepoPath,
    etag: string,
    signal: AbortSignal,
  ): Promise<'gone' | 'conflict' | Undeleted['report']> {
    try {
      return await this.#store.remove(place, etag, signal);
    } catch (error) {
      if (!(error instanceof DebgeoError) || error.code !== 'SITE_REFUSED') throw error;
      return { ...error.report, code: 'BLOB_HELD' };
    }
  }
}
