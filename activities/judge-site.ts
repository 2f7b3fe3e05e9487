/** H of a lane as it stands at the site, against what this database knows: read, judge, book. */
import { readFacts, type BookedHead } from '../src/database/anchors/heads.ts';
import { bookAhead } from '../src/database/anchors/restored.ts';
import type { Database } from '../src/database/orm.ts';
import type { LaneIds } from '../src/database/replication-row.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import type { RepoPath } from '../src/domain/repo-path.ts';
import type { Sha256 } from '../src/domain/sha256.ts';
import type { HeadAnchor } from '../src/site-format/anchors.ts';
import { decodeHead } from '../src/site-format/decode.ts';
import type { SiteStore } from '../src/site/site-store.ts';
import { judgeHead, readAnchor } from './anchors.ts';

/** A lane, and H of it. */
export interface HeadOfLane extends LaneIds {
  readonly database: Database;
  readonly store: SiteStore;
  readonly signal: AbortSignal;
  readonly place: RepoPath;
  /** As booked. */
  readonly head: BookedHead | null;
}

export interface JudgedHead {
  /** Null: there is none. */
  readonly found: (HeadAnchor & { readonly etag: string }) | null;
  /** How often files were deleted at the site, as the database says now. */
  readonly prunes: number;
}

/**
 * What is ahead of the database is booked before this throws.
 * @param lost the release that this attempt knows to be lost; not given: what the rows say. An
 *   attempt that began without it has verified what was not believed since
 * @throws SITE_TAKEN, SITE_AHEAD, ANCHOR_UNREADABLE
 * @throws SITE_BEHIND unless `isReadBack`: all that the site serves was read back, and repaired
 */
export async function readHeadAt(
  lane: HeadOfLane,
  options: { readonly lost?: Sha256 | null; readonly isReadBack?: boolean } = {},
): Promise<JudgedHead> {
  const { database, store, signal, place, head } = lane;
  const read = await readAnchor(store, place, signal);
  const named = read === null ? null : decodeHead(read.bytes, place);
  const facts = await readFacts(database.read, lane, named?.release ?? null);
  try {
    judgeHead(place, head, { ...facts, ...options }, named);
  } catch (error) {
    if (!(error instanceof DebgeoError)) throw error;
    if (error.code === 'SITE_AHEAD') {
      const { epoch } = named!.deployment;
      const release = facts.rank === null ? named!.release : null;
      const { pruned } = named!;
      await bookAhead(database, lane, { epoch, release, pruned }, error.report);
    }
    if (!(error.code === 'SITE_BEHIND' && options.isReadBack)) throw error;
  }
  const found = named === null ? null : { ...named, etag: read!.etag };
  return { found, prunes: facts.prunes };
}
