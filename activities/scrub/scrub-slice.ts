import { setTimeout as sleep } from 'node:timers/promises';

import { wakeOfSite } from '../../src/database/replications/parked.ts';
import { endPass } from '../../src/database/scrub/end-pass.ts';
import {
  bookBlobs,
  bookNames,
  type Found,
  type ReadBlob,
} from '../../src/database/scrub/findings.ts';
import {
  blobsToScrub,
  namesToScrub,
  type BlobToScrub,
  type NameToScrub,
} from '../../src/database/scrub/pages.ts';
import { pathsToSample } from '../../src/database/scrub/readers.ts';
import {
  endScrubbing,
  giveUpScrubbing,
  loadScrub,
  startScrubbing,
  type Cursor,
  type Scrubbing,
} from '../../src/database/scrub/scrubs.ts';
import type { Checksum } from '../../src/domain/checksum.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { SiteScrub, Ticketed } from '../../src/domain/replication.ts';
import { sitePath, type RepoPath } from '../../src/domain/repo-path.ts';
import { isSampled, leastMs, passMs, waitMs } from '../../src/domain/scrub.ts';
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
import { Repairer } from './repair-blobs.ts';
import { samplePublic } from './sample-public.ts';

/** One site: ids only (I4). */
export interface ScrubInput extends Ticketed {
  readonly site: string;
}

export interface ScrubAnswer {
  /** As committed last: it says when the next slice begins. */
  readonly row: SiteScrub;
  /** Distributions whose lanes have something to repair, the first LIMITS.shownSites of them. */
  readonly rotten: readonly string[];
}

/**
 * Reads the site back for one slice, in the order of a cursor: blobs, then published names. What is
 * wrong is booked for the lanes that name it; the scrub itself repairs what no lane takes. Judges
 * nothing: the rows compare what was read with the catalog.
 *
 * Given twice, or killed anywhere: the cursor moves in the transaction that books what was read, so
 * that at most a batch is read again. No transaction is open while the site is asked.
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND, ANCHOR_UNREADABLE nothing was read
 * @throws SITE_* the site itself; what was booked before stays booked
 */
export const createScrubSlice =
  (deps: Deps) =>
  async (input: ScrubInput): Promise<ScrubAnswer> => {
    const { site, ticket = null } = input;
    const { database } = deps;
    const context = activityContext();
    const begun = await withHeartbeat(
      context,
      () => ({}),
      () => startScrubbing(database, site, ticket, context.attempt),
    );
    if ('idle' in begun) return { row: begun.idle, rotten: [] };
    const slice = new Slice(deps, begun, context);
    try {
      const row = await withHeartbeat(
        context,
        () => slice.counts,
        () => slice.scrub(),
      );
      return { row, rotten: slice.rotten };
    } catch (error) {
      await giveUpScrubbing(database, begun.key).catch((cause: unknown) =>
        deps.log.warn({ site, cause }, 'a claim stays until the next slice ends it'),
      );
      if (!isWorkerStopping(context)) throw error;
      return { row: await loadScrub(database, site), rotten: slice.rotten };
    }
  };

/** Something that is read back, and where it stands. */
interface Placed {
  readonly mount: string;
  readonly path: RepoPath;
}

class Slice {
  readonly #deps: Deps;
  readonly #begun: Scrubbing;
  readonly #context: ActivityContext;
  readonly #rotten = new Set<string>();
  readonly #startedAt = Date.now();
  #cursor: Cursor;
  #wrong = 0;
  /** Paths whose bytes were not what readers got. */
  #doubted: ReadonlySet<string> | null = null;
  #read = { files: 0, bytes: 0 };

  constructor(deps: Deps, begun: Scrubbing, context: ActivityContext) {
    this.#deps = deps;
    this.#begun = begun;
    this.#context = context;
    this.#cursor = begun.cursor;
  }

  /** For the Temporal UI. */
  get counts(): { files: number; bytes: number } {
    return this.#read;
  }

  get rotten(): string[] {
    return [...this.#rotten].slice(0, LIMITS.shownSites);
  }

  async scrub(): Promise<SiteScrub> {
    const { key, row } = this.#begun;
    const { database } = this.#deps;
    const { store, publicUrl } = await this.#deps.siteOf(row.site);
    // What another database writes is not ours to judge or to repair, nor what this one wrote and
    // lost; and an older copy is read back by its lanes.
    const { siteId } = key;
    await confirmKnown({ database, store, siteId, signal: this.#context.signal });
    await wakeOfSite(database.read, siteId);
    const repairer = new Repairer(this.#deps, key, store, this.#context);
    const isOver = (): boolean => this.#isOver();
    await repairer.repair(isOver); // what an earlier slice found and did not come to
    const isRead = await this.#readOn(store, publicUrl);
    const left = await repairer.repair(isOver);
    if (left !== 'nothing') return endScrubbing(database, row.site, key, this.#waitFor(left));
    return isRead
      ? endPass(database, row.site, key)
      : endScrubbing(database, row.site, key, this.#wait());
  }

  /** @returns whether the pass has read all; false: the slice ended first */
  async #readOn(store: SiteStore, publicUrl: string): Promise<boolean> {
    const { read } = this.#deps.database;
    const { siteId } = this.#begun.key;
    for (;;) {
      const page = await blobsToScrub(read, siteId, this.#cursor, LIMITS.batchFiles);
      const blobs = fitting(page);
      if (blobs.length > 0) {
        const read = await this.#readBlobs(store, blobs);
        await this.#sample(publicUrl, read);
      } else {
        const names = await namesToScrub(read, siteId, this.#cursor, LIMITS.batchFiles);
        if (names.length === 0) return true;
        await this.#readNames(store, names);
      }
      if (this.#isOver()) return false;
    }
  }

  async #readBlobs(store: SiteStore, blobs: readonly BlobToScrub[]): Promise<ReadBlob[]> {
    const bytes = blobs.reduce((sum, { size }) => sum + size, 0);
    const read = await this.#readBatch(store, blobs, bytes);
    const cursor = { ...this.#cursor, pathId: blobs.at(-1)!.pathId };
    const { database } = this.#deps;
    this.#booked(await bookBlobs(database, this.#begun.key, read, cursor), cursor);
    this.#count(blobs.length, bytes);
    return read;
  }

  /** A few of those that are right at the site, and those that readers did not get before. */
  async #sample(publicUrl: string, read: readonly ReadBlob[]): Promise<void> {
    const { row, key } = this.#begun;
    this.#doubted ??= await pathsToSample(this.#deps.database.read, key.siteId);
    const first = row.files + this.#read.files - read.length;
    for (const [index, blob] of read.entries())
      if (
        blob.checksum?.sha256 === blob.sha256 &&
        (isSampled(first + index, row.filesTotal, row.startedAt!) || this.#doubted.has(blob.path))
      )
        await samplePublic(this.#deps, { ...key, publicUrl }, blob, this.#context.signal);
  }

  async #readNames(store: SiteStore, names: readonly NameToScrub[]): Promise<void> {
    const read = await this.#readBatch(store, names, 0);
    const { distributionId, path: name } = names.at(-1)!;
    const cursor = { ...this.#cursor, distributionId, name };
    const { database } = this.#deps;
    this.#booked(await bookNames(database, this.#begun.key, read, cursor), cursor);
    this.#count(
      names.length,
      read.reduce((sum, { checksum }) => sum + (checksum?.size ?? 0), 0),
    );
  }

  /** Few at a time, and for as long as the share of the site's rate asks. */
  async #readBatch<One extends Placed>(
    store: SiteStore,
    batch: readonly One[],
    bytes: number,
  ): Promise<(One & { readonly checksum: Checksum | null })[]> {
    const { signal } = this.#context;
    const since = Date.now();
    const read = new Map<One, Checksum | null>();
    await inParallel(batch, LIMITS.scrubConcurrency, signal, async (one, either) => {
      read.set(one, await readBack(store, sitePath(one.mount, one.path), either));
    });
    const rest = since + leastMs(bytes, this.#begun.bytesPerSecond) - Date.now();
    if (rest > 0) await sleep(rest, undefined, { signal });
    return batch.map((one) => ({ ...one, checksum: read.get(one)! }));
  }

  #booked({ wrong, rotten }: Found, cursor: Cursor): void {
    this.#cursor = cursor;
    this.#wrong += wrong;
    for (const distribution of rotten) this.#rotten.add(distribution);
  }

  #count(files: number, bytes: number): void {
    this.#read = { files: this.#read.files + files, bytes: this.#read.bytes + bytes };
  }

  #isOver(): boolean {
    return (
      Date.now() - this.#startedAt >= (this.#deps.sliceMs ?? LIMITS.sliceMs) ||
      this.#read.files >= LIMITS.scrubSliceFiles ||
      this.#read.bytes >= LIMITS.scrubSliceBytes
    );
  }

  /** A pass is not over before what it found wrong is repaired, or known to be nowhere. */
  #waitFor(left: 'more' | 'unreachable'): number {
    if (left === 'more') return 0;
    return Math.min(LIMITS.scrubRepairMs, (this.#begun.intervalMs ?? Infinity) / 10);
  }

  /** Rot rarely comes alone: behind a slice that found some, the next one comes at once. */
  #wait(): number {
    const { intervalMs, elapsedMs, row } = this.#begun;
    if (intervalMs === null || this.#wrong > 0) return 0;
    const left = {
      files: row.filesTotal - row.files - this.#read.files,
      bytes: row.bytesTotal - row.bytes - this.#read.bytes,
    };
    const timeLeft = passMs(intervalMs) - elapsedMs;
    return Math.max(0, waitMs(this.#read, left, timeLeft) - (Date.now() - this.#startedAt));
  }
}

/** The first of a page, as many as one batch may have bytes, and at least one. */
function fitting<One extends { readonly size: number }>(page: readonly One[]): One[] {
  let bytes = 0;
  return page.filter(({ size }, index) => (bytes += size) <= LIMITS.batchBytes || index === 0);
}
