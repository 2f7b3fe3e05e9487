/**
 * The published names of one generation at one site, in the order in which no reader sees a Release
 * before what it lists.
 *
 * A worker may die anywhere in here, and an attempt that it believes dead may still write. What the
 * next attempt does then stands at each such place ("If we die here"). It rests on three rules:
 * every write is conditional on the ETag that was there before; a name is booked only after it was
 * read back; and an attempt that takes over an open intent reads a name back before it writes it.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { holdClaim } from '../../src/database/claims.ts';
import type { Database } from '../../src/database/orm.ts';
import {
  recordCorruptName,
  recordNames,
  wasWanted,
  type RecordedName,
  type SettledName,
} from '../../src/database/publications/names.ts';
import type { Publication } from '../../src/database/publications/publications.ts';
import type { Checksum } from '../../src/domain/checksum.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { PublicationOrder } from '../../src/domain/publication-order.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import type { PublishedName } from '../../src/domain/snapshot.ts';
import type { Expected, Written } from '../../src/site/site-store.ts';
import { headersOf } from '../blob-headers.ts';
import { inParallel } from '../in-parallel.ts';
import { Ledger } from '../ledger.ts';
import { readBack } from '../read-back.ts';
import { isForeign, isHidden, judgeName, settledOf, type NameVerdict } from './judge-name.ts';
import type { IsLost } from './lost-release.ts';
import type { SiteStep } from './step.ts';

/** The bytes of a published name, from one place after the other; hashed on their way there. */
export type ContentOf = (
  name: PublishedName,
  signal: AbortSignal,
) => AsyncIterable<AsyncIterable<Uint8Array>>;

const NOTHING: RecordedName = { sha256: null, etag: null, lastModified: null };
const SECOND_MS = 1_000;

const isUnknown = ({ isTombstone, isDoubted }: RecordedName): boolean =>
  isTombstone === true || isDoubted === true;
const nothingAt = (path: RepoPath): PublishedName => ({ path, sha256: null, size: 0 });

interface SettleOptions {
  /** Last-Modified must grow: apt asks with If-Modified-Since. */
  readonly increasing?: boolean;
  /** Together with others; else at once. */
  readonly book?: (settled: SettledName) => Promise<void>;
}

export class NamesPublisher {
  readonly #database: Database;
  readonly #step: SiteStep;
  readonly #publication: Publication;
  readonly #contentOf: ContentOf;
  readonly #isLost: IsLost;
  /** Read every name back, also those that are on record as right. */
  readonly #verifying: boolean;
  #firstWriteAt: number | null = null;
  /** The site's clock minus ours, as its last answer said; milliseconds. */
  #clockOffset = 0;

  constructor(
    database: Database,
    step: SiteStep,
    publication: Publication,
    contentOf: ContentOf,
    options: { readonly isLost: IsLost; readonly verifying: boolean },
  ) {
    this.#database = database;
    this.#step = step;
    this.#publication = publication;
    this.#contentOf = contentOf;
    this.#isLost = options.isLost;
    this.#verifying = options.verifying;
  }

  /**
   * Every name is read back before InRelease is written, and InRelease is last, also when it is
   * deleted.
   * @returns how long published names were changing, milliseconds
   * @throws FOREIGN_WRITE, SITE_SERVES_OTHER, BLOB_MISSING
   */
  async publish(order: PublicationOrder): Promise<number> {
    const { signal } = this.#step.context;
    const indices = [
      ...order.indices,
      ...[...order.removals, ...this.#tombstonesOf(order)].map(nothingAt),
    ];
    const askedFirst =
      order.inRelease.sha256 === null && order.release !== null ? order.release : order.inRelease;
    // Most of a needed wait is taken here, so that it does not lengthen the window.
    if (this.#isOpen(askedFirst))
      await this.#waitOut(this.#recordOf(askedFirst).lastModified, signal);

    await this.#settleAll(indices, signal);
    // If we die up to here, some indices are those of the new release, and the Release set is the
    // one before. Readers that ask by hash get the release before, whole; to others some indices
    // are a hash mismatch, and apt keeps its lists, until the next attempt is through.
    if (order.releaseGpg !== null) await this.#settle(order.releaseGpg, signal);
    // If we die here, the new Release.gpg stands beside the Release before: readers of both stop.
    if (order.release !== null)
      await this.#settle(order.release, signal, { increasing: order.release === askedFirst });
    // If we die here, Release is the new one and InRelease the one before: what either lists is
    // whole by hash. Where the snapshot has no InRelease, Release is the switch; the InRelease
    // before, if there is one, hides it from apt until it is deleted.
    await this.#settle(order.inRelease, signal, { increasing: true });
    return this.#firstWriteAt === null ? 0 : Date.now() - this.#firstWriteAt;
  }

  async #settleAll(indices: readonly PublishedName[], signal: AbortSignal): Promise<void> {
    const ledger = new Ledger<SettledName>(LIMITS.batchFiles, (names) => this.#record(names));
    try {
      await inParallel(indices, LIMITS.laneConcurrency, signal, (name, either) =>
        this.#settle(name, either, { book: (settled) => ledger.add(settled) }),
      );
    } finally {
      await ledger.close();
    }
  }

  #recordOf(name: PublishedName): RecordedName {
    return this.#publication.names.get(name.path) ?? NOTHING;
  }

  /**
   * Indices that were deleted lately, or that a publication which was given up may have written,
   * and that are not wanted: a worker that froze before it wrote one may do so now.
   */
  #tombstonesOf({ indices, releaseGpg, release, inRelease }: PublicationOrder): RepoPath[] {
    const ordered = [...indices, releaseGpg, release, inRelease].map((name) => name?.path);
    return [...this.#publication.names]
      .filter(([, recorded]) => recorded.sha256 === null && isUnknown(recorded))
      .filter(([path]) => !ordered.includes(path))
      .map(([path]) => path);
  }

  #isOpen(name: PublishedName): boolean {
    const recorded = this.#recordOf(name);
    return this.#verifying || isUnknown(recorded) || recorded.sha256 !== name.sha256;
  }

  /**
   * Makes one name what the snapshot wants; it ends only when the wanted bytes were read back.
   * Where another attempt began the publication, the name is read back before it is written.
   */
  async #settle(
    name: PublishedName,
    signal: AbortSignal,
    options: SettleOptions = {},
  ): Promise<void> {
    if (!this.#isOpen(name)) return;
    const { book = (settled) => this.#record([settled]) } = options;
    const place = this.#step.placeOf(name.path);
    const before = this.#recordOf(name);
    let after = options.increasing ? before.lastModified : null;
    let recorded = before;
    let expected: Expected = before.etag === null ? 'nothing' : { etag: before.etag };
    let isToReadBack = this.#verifying || this.#publication.resumed || isUnknown(before);
    // A late write of what was given up may be bound to the ETag there: so that is made another.
    const isExposed = this.#publication.afterGivenUp && before.isDoubted && name.sha256 !== null;

    for (let writes = 0; writes <= LIMITS.conflictsMax;) {
      if (isToReadBack) {
        const seen = await readBack(this.#step.store, place, signal);
        const verdict = await this.#judge(name, recorded, seen);
        if (verdict === 'left')
          return before.isDoubted ? book({ path: name.path, ...NOTHING }) : undefined;
        // If we die before this commits, the name is right at the site, and the rows hold what was
        // there before: the next attempt reads the wanted bytes back, and books them. Once it is
        // committed, the next attempt does not ask the site for this name again.
        const isRight = verdict.is === 'right';
        const isToWriteAgain = isHidden(seen, before, after) || (isExposed && writes === 0);
        if (isRight && !isToWriteAgain) return book(settledOf(name, seen, after));
        // If we die after this, the incident is open and the name is wrong still: the next attempt
        // finds it again, and counts it in the same incident.
        if (!isRight && verdict.corrupt) await this.#reportCorrupt(name, recorded, seen);
        expected = isRight ? { etag: seen!.etag } : verdict.expected;
        if (options.increasing && seen !== null) after = Math.max(after ?? 0, seen.lastModified);
        // Asked after it was read: what a newer attempt has written is never taken for old.
        await holdClaim(this.#database.read, this.#publication.lane);
      }
      isToReadBack = true;
      const written = await this.#write(name, place, expected, after, signal);
      // If we die here, the wanted bytes stand at the site (or nothing, where that is wanted) under
      // an ETag that no row has: the next attempt reads them back, and books them. A request that
      // reaches the site only after the next attempt has written finds another ETag, and changes
      // nothing.
      writes += 1;
      if (written === 'conflict') continue;
      recorded =
        written === 'gone'
          ? NOTHING
          : { sha256: name.sha256, etag: written.etag, lastModified: written.lastModified };
      // Where Last-Modified did not grow, it is read back as hidden, and written once more: by this
      // attempt, or, if we die here, by the next.
    }
    throw new DebgeoError(
      'SITE_SERVES_OTHER',
      `the site does not keep what is written to ${place}`,
      {
        expected: name.sha256 ?? 'nothing',
        state: 'the publication stays open and is taken up again',
      },
    );
  }

  /**
   * As judgeName; bytes of another generation of ours are ours, whatever their ETag: an attempt
   * wrote them late, or this database before it was restored.
   * @returns left: another program's, at a name that no Release of ours lists
   * @throws FOREIGN_WRITE
   */
  async #judge(
    name: PublishedName,
    recorded: RecordedName,
    seen: Checksum | null,
  ): Promise<NameVerdict | 'left'> {
    try {
      return judgeName(name, recorded, seen);
    } catch (error) {
      if (!isForeign(error) || seen === null) throw error;
      const { read } = this.#database;
      const { lane, afterGivenUp } = this.#publication;
      const isLost = await this.#isLost(name.path, seen.sha256);
      const corrupt = recorded.sha256 !== null && !afterGivenUp && !isLost;
      if (isLost || (await wasWanted(read, lane, name.path, seen.sha256)))
        return { is: 'to write', expected: { etag: seen.etag }, corrupt };
      if (name.sha256 === null && recorded.isTombstone) return 'left';
      throw error;
    }
  }

  async #write(
    name: PublishedName,
    place: RepoPath,
    expected: Expected,
    after: number | null,
    signal: AbortSignal,
  ): Promise<Written | 'gone' | 'conflict'> {
    await this.#waitOut(after, signal);
    this.#firstWriteAt ??= Date.now();
    if (name.sha256 === null)
      return expected === 'nothing'
        ? 'gone'
        : this.#step.store.remove(place, expected.etag, signal);

    for await (const bytes of this.#contentOf(name, signal)) {
      const content = {
        size: name.size,
        sha256: name.sha256,
        bytes,
        ...headersOf(name.path, 'published'),
      };
      try {
        const written = await this.#step.store.put(place, content, expected, signal);
        if (written !== 'conflict') this.#clockOffset = written.siteClock - Date.now();
        return written;
      } catch (error) {
        if (!(error instanceof DebgeoError && error.code === 'BLOB_MISMATCH')) throw error;
      }
    }
    throw new DebgeoError('BLOB_MISSING', `no place has the bytes of ${name.path} any more`, {
      expected: name.sha256,
    });
  }

  /**
   * Waits until a write gets a later Last-Modified, which has whole seconds. apt asks with
   * If-Modified-Since: it stays on an InRelease, or else Release, whose time did not grow.
   */
  async #waitOut(lastModified: number | null, signal: AbortSignal): Promise<void> {
    if (lastModified === null) return;
    const wait = lastModified + SECOND_MS - (Date.now() + this.#clockOffset);
    if (wait > 0) await sleep(Math.min(wait, 5 * SECOND_MS), undefined, { signal });
  }

  #record(names: readonly SettledName[]): Promise<void> {
    return recordNames(this.#database, this.#publication.lane, names);
  }

  #reportCorrupt(
    name: PublishedName,
    recorded: RecordedName,
    seen: Checksum | null,
  ): Promise<void> {
    const facts = {
      path: name.path,
      expected: recorded.sha256 ?? 'nothing',
      found: seen?.sha256 ?? 'nothing',
    };
    return recordCorruptName(this.#database, this.#step.key, facts);
  }
}
