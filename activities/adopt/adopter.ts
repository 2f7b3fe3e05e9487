/** What an adopt works with, and how it writes over S and H. */
import { passEpoch } from '../../src/database/adopt/suites.ts';
import { readSiteClaim } from '../../src/database/anchors/site-anchors.ts';
import type { Deployment } from '../../src/domain/deployment.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import type { Encoded } from '../../src/site-format/anchors.ts';
import { unreadable } from '../../src/site-format/decode.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import { assertOurs, putAnchor, readAnchor, type FoundAnchor } from '../anchors.ts';
import type { Deps } from '../deps.ts';

export interface AdoptInput {
  readonly site: string;
  /** Also from another deployment, or from this one as it was restored once more. */
  readonly takeOver: boolean;
  /** Reads and judges, and writes nothing. */
  readonly dryRun: boolean;
  readonly reason: string;
  readonly by: string;
  readonly signal: AbortSignal;
}

export interface Adopter extends AdoptInput {
  readonly deps: Deps;
  readonly siteId: number;
  readonly store: SiteStore;
}

/** Whoever may write to the site cannot bring the count to its end. */
const EPOCHS_LOST = 1_000;

/**
 * Where this database was restored from one backup twice, it becomes later than what is found.
 * @throws SITE_TAKEN
 * @throws ANCHOR_UNREADABLE an epoch that no database has
 */
export async function assertTakeable(
  { deps, siteId, takeOver, dryRun }: Adopter,
  found: Deployment,
  place: RepoPath,
): Promise<void> {
  const { read } = deps.database;
  const { deployment } = await readSiteClaim(read, siteId);
  if (!takeOver) return assertOurs(found, deployment, place);
  const isLater = found.id === deployment.id && found.epoch > deployment.epoch;
  const last = deployment.epoch + EPOCHS_LOST;
  if (isLater && found.epoch > last)
    throw unreadable(place, `an epoch up to ${last}`, `${found.epoch}`);
  if (isLater && !dryRun) await passEpoch(read, found);
}

/**
 * Writes S or H over the version that was read, unless it is as it should be.
 * @returns its ETag
 * @throws FOREIGN_WRITE
 */
export async function putOver(
  store: SiteStore,
  place: RepoPath,
  wanted: Encoded,
  found: FoundAnchor,
  signal: AbortSignal,
): Promise<string> {
  if (sha256Of(found.bytes) === wanted.sha256) return found.etag;
  const written = await putAnchor(store, place, wanted, { etag: found.etag }, signal);
  if (written !== 'conflict') return written.etag;
  // Perhaps our own write, whose answer was lost.
  const after = await readAnchor(store, place, signal);
  if (after !== null && sha256Of(after.bytes) === wanted.sha256) return after.etag;
  throw new DebgeoError('FOREIGN_WRITE', `${place} changed at the site meanwhile`, {
    expected: `ETag ${found.etag}, as it was read`,
    found: after === null ? 'nothing' : `ETag ${after.etag}`,
    state: 'no published name was changed there, and nothing deleted; give the command again',
  });
}
