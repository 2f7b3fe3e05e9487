/**
 * R and H of a publication: what the release is, and that it may be visible from now on. Written
 * between the intent and the first published name, two small requests.
 *
 * H is written only over the version that this database wrote last. So a database that was restored
 * from an older backup, and another deployment, change no published name. Over an older H, and
 * where H is gone, it is written once the lane has read everything back.
 */
import { type LaneHead, type WrittenHead } from '../../src/database/anchors/heads.ts';
import type { Database } from '../../src/database/orm.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import { encodeHead, type Encoded } from '../../src/site-format/anchors.ts';
import { headPath, releasePath, type SuiteAt } from '../../src/site-format/paths.ts';
import type { Expected } from '../../src/site/site-store.ts';
import { putAnchor } from '../anchors.ts';
import { readHeadAt } from '../judge-site.ts';
import { readBack } from '../read-back.ts';
import { nameHead } from '../site-claim.ts';
import type { SiteStep } from './step.ts';

/**
 * Given twice, or killed anywhere: R is there under the name of its bytes, and an H of this
 * database that is newer than the booked one is our own, whose answer was lost.
 * @param before H as it was booked last
 * @param release R, booked as one that may be at the site
 * @throws SITE_TAKEN, SITE_AHEAD, SITE_BEHIND, ANCHOR_UNREADABLE; no published name was changed
 */
export async function writeHead(
  database: Database,
  step: SiteStep,
  before: LaneHead,
  release: Encoded,
): Promise<WrittenHead> {
  const { archive, suite } = step.distribution;
  const at: SuiteAt = { mount: archive.mount, suite };
  const releaseEtag = await writeRelease(step, releasePath(at, release.sha256), release);
  // If we die here, R stays, and is the same for the next attempt, or no H names it: prune deletes
  // it with its generation.
  if (before.head === null) {
    const { store, key, context } = step;
    const claimant = { database, store, siteId: key.siteId, signal: context.signal };
    await nameHead(claimant, at);
  }
  const etag = await writeOver(database, step, headPath(at), before, release);
  // If we die here, H says what may be visible, and InRelease what is. The next attempt finds H
  // newer than the booked one, and goes on.
  return { release: release.sha256, releaseEtag, etag };
}

/** H is there as it was written last. */
export async function isHeadAsBooked(step: SiteStep, { head }: LaneHead): Promise<boolean> {
  if (head === null) return false;
  const { archive, suite } = step.distribution;
  const place = headPath({ mount: archive.mount, suite });
  const found = await step.store.checksum(place, step.context.signal, head.etag);
  return found !== null && found !== 'changed';
}

/** What is there already under the name of these bytes is these bytes, or rotten. */
async function writeRelease(step: SiteStep, place: RepoPath, release: Encoded): Promise<string> {
  const { store, context } = step;
  let expected: Expected = 'nothing';
  for (let conflicts = 0; conflicts <= LIMITS.conflictsMax; conflicts += 1) {
    const written = await putAnchor(store, place, release, expected, context.signal);
    if (written !== 'conflict') return written.etag;
    const found = await readBack(store, place, context.signal);
    if (found?.sha256 === release.sha256) return found.etag;
    expected = found === null ? 'nothing' : { etag: found.etag };
  }
  throw keepsChanging(place);
}

async function writeOver(
  database: Database,
  step: SiteStep,
  place: RepoPath,
  before: LaneHead,
  release: Encoded,
): Promise<string> {
  const { store, key } = step;
  const { signal } = step.context;
  const { deployment, head, lost, isReadBack } = before;
  const previous = lost ?? head?.release ?? null;
  let pruned = before.prunes;
  let expected: Expected = head === null ? 'nothing' : { etag: head.etag };
  for (let conflicts = 0; conflicts <= LIMITS.conflictsMax; conflicts += 1) {
    const wanted = encodeHead({ deployment, release: release.sha256, previous, pruned });
    const written = await putAnchor(store, place, wanted, expected, signal);
    if (written !== 'conflict') return written.etag;
    const lane = { ...key, database, store, signal, place, head };
    const { found, prunes } = await readHeadAt(lane, { lost, isReadBack });
    if (found?.release === release.sha256) return found.etag;
    pruned = prunes;
    expected = found === null ? 'nothing' : { etag: found.etag };
  }
  throw keepsChanging(place);
}

const keepsChanging = (place: RepoPath): DebgeoError =>
  new DebgeoError('FOREIGN_WRITE', `${place} keeps changing at the site`, {
    state: 'no published name was changed; the publication stays open',
  });
