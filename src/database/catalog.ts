/**
 * What should exist: distributions as configured, and their snapshots. A generation costs only its changes: members (pool files, and indices at their
 * by-hash paths) are generation ranges [from, to).
 */
import { sql } from 'kysely';
import type { Validator } from '../archive/archive.ts';
import { DebgeoError } from '../domain/errors.ts';
import { releaseSetPaths, type RepoPath } from '../domain/repo-path.ts';
import type { Sha256 } from '../domain/sha256.ts';
import type { Blob, PublishedName, ReleaseSet, Selection, Snapshot } from '../domain/snapshot.ts';
import { recordEvent } from './incidents.ts';
import { useOlderAcceptance } from './older-acceptances.ts';
import { first, lockArchiveShared, ms, timestamp, type Database, type Tx } from './orm.ts';
import { rollUp, wantGeneration } from './replications.ts';

export interface DistributionRecord {
  readonly id: number;
  readonly name: string;
  readonly suite: string;
  readonly archive: {
    readonly id: number;
    readonly name: string;
    readonly url: string;
    readonly mount: string;
    readonly keyring: Uint8Array | null;
    readonly redirectOrigins: readonly string[];
  };
  readonly selection: Selection;
  readonly primarySite: string | null;
  /** Enabled sites that are to have it. */
  readonly siteCount: number;
  readonly acceptUndated: boolean;
  readonly pollIntervalMs: number;
  readonly latestGeneration: number;
  /** Of the last look that went well, null before the first. */
  readonly validator: Validator | null;
  readonly newest: StoredSnapshot | null;
  /** Looks that went well since the archive was last asked unconditionally. */
  readonly looks: number;
}

export interface StoredSnapshot {
  readonly generation: number;
  readonly releaseSet: ReleaseSet;
  readonly bodySha256: Sha256;
  readonly date: Date | null;
  readonly validUntil: Date | null;
  readonly signers: readonly string[];
  readonly untorn: boolean;
}

/** `to_generation` of a member that no later generation has left out. */
const OPEN = 2147483647;
/** Rows per statement: parameters of a few megabytes. */
const ROWS_PER_INSERT = 20_000;

interface DistributionRow {
  readonly id: number;
  readonly name: string;
  readonly suite: string;
  readonly components: readonly string[];
  readonly architectures: readonly string[];
  readonly primarySite: string | null;
  readonly siteCount: number;
  readonly acceptUndated: boolean;
  readonly pollIntervalMs: number;
  readonly latestGeneration: number;
  readonly etag: string | null;
  readonly lastModified: string | null;
  readonly looks: number;
  readonly archiveId: number;
  readonly archiveName: string;
  readonly url: string;
  readonly mount: string;
  readonly keyring: Buffer | null;
  readonly redirectOrigins: readonly string[];
}

/** Null: not there, or removed. */
export async function readDistribution(tx: Tx, name: string): Promise<DistributionRecord | null> {
  const row = first(
    await sql<DistributionRow>`
      select d.id, d.name, d.suite, d.components, d.architectures, s.name as "primarySite", d.accept_undated as "acceptUndated",
             d.poll_interval_ms as "pollIntervalMs", d.latest_generation as "latestGeneration", d.in_release_etag as etag,
             d.in_release_last_modified as "lastModified", d.looks, a.id as "archiveId", a.name as "archiveName", a.url, a.mount, a.keyring,
             a.redirect_origins as "redirectOrigins",
             (select count(*) from distribution_replications r join replication_sites o on o.id = r.site_id
              where r.distribution_id = d.id and o.enabled)::int as "siteCount"
      from debian_distributions d join archives a on a.id = d.archive_id left join replication_sites s on s.id = d.replication_site_id
      where d.name = ${name} and not d.removed`.execute(tx.kysely),
  );
  if (row === null) return null;
  const { components, architectures, etag, lastModified, archiveId, archiveName, url, mount, keyring, redirectOrigins, ...distribution } =
    row;
  return {
    ...distribution,
    archive: { id: archiveId, name: archiveName, url, mount, keyring, redirectOrigins },
    selection: { components, architectures },
    validator: etag === null && lastModified === null ? null : { etag, lastModified },
    newest: row.latestGeneration === 0 ? null : await readSnapshot(tx, row.id, row.latestGeneration),
  };
}

interface SnapshotRow {
  readonly generation: number;
  readonly inRelease: Buffer | null;
  readonly release: Buffer | null;
  readonly releaseGpg: Buffer | null;
  readonly bodySha256: Sha256;
  readonly date: number | null;
  readonly validUntil: number | null;
  readonly signers: readonly string[];
  readonly untorn: boolean;
}

export async function readSnapshot(tx: Tx, distributionId: number, generation: number): Promise<StoredSnapshot | null> {
  const row = first(
    await sql<SnapshotRow>`
      select generation, in_release as "inRelease", release, release_gpg as "releaseGpg", encode(body_sha256, 'hex') as "bodySha256",
             ${ms('date')} as date, ${ms('valid_until')} as "validUntil", signers, untorn
      from distribution_snapshots where distribution_id = ${distributionId} and generation = ${generation}`.execute(tx.kysely),
  );
  if (row === null) return null;
  const { inRelease, release, releaseGpg, date, validUntil, ...snapshot } = row;
  return { ...snapshot, releaseSet: { inRelease, release, releaseGpg }, date: dateOf(date), validUntil: dateOf(validUntil) };
}

const dateOf = (time: number | null): Date | null => (time === null ? null : new Date(time));

/** Canonical paths that Release listed within the selection when this generation was captured, with their digests; null: absent at the archive. */
export async function indexDigestsOf(tx: Tx, distributionId: number, generation: number): Promise<Map<RepoPath, Sha256 | null>> {
  const { rows } = await sql<{ path: RepoPath; sha256: Sha256 | null }>`
    select path, encode(sha256, 'hex') as sha256 from snapshot_indices
    where distribution_id = ${distributionId} and generation = ${generation}`.execute(tx.kysely);
  return new Map(rows.map((row) => [row.path, row.sha256]));
}

/** Where the archive had an index of these bytes, by its canonical names, the newest generation first. */
export async function canonicalPathsOf(tx: Tx, distributionId: number, sha256: Sha256): Promise<RepoPath[]> {
  const { rows } = await sql<{ path: RepoPath }>`
    select path from snapshot_indices where distribution_id = ${distributionId} and sha256 = decode(${sha256}, 'hex')
    group by path order by max(generation) desc, path`.execute(tx.kysely);
  return rows.map((row) => row.path);
}

/** Every name whose bytes change from release to release, with what this generation wants there: canonical indices and the Release set. */
export async function publishedNamesOf(tx: Tx, distributionId: number, generation: number, suiteFolder: string): Promise<PublishedName[]> {
  const [inRelease, release, releaseGpg] = releaseSetPaths(suiteFolder);
  const { rows } = await sql<PublishedName>`
    select path, encode(sha256, 'hex') as sha256, size from snapshot_indices
    where distribution_id = ${distributionId} and generation = ${generation}
    union all
    select name, encode(sha256(bytes), 'hex'), coalesce(octet_length(bytes), 0)::bigint
    from distribution_snapshots s,
      lateral (values (${releaseGpg}, s.release_gpg), (${release}, s.release), (${inRelease}, s.in_release)) release_set (name, bytes)
    where s.distribution_id = ${distributionId} and s.generation = ${generation}`.execute(tx.kysely);
  return rows;
}

/**
 * Saves a captured snapshot as the next generation, in one transaction: all of it, or nothing. Every replication then wants it.
 * The same Release set with the same indices and members as the newest generation is that generation (I5).
 * @param basis  the newest generation when the snapshot was judged; without it, whichever is the newest now
 * @param olderAcceptance  the word that lets this older release in; used up with it
 * @throws ARCHIVE_CHANGING     `basis` is not the newest any more: a slow capture must not bring back an older release
 * @throws RELEASE_ROLLBACK     `olderAcceptance` was used or has ended meanwhile
 * @throws SNAPSHOT_EMPTY       no member at all
 * @throws INDEX_CONTRADICTION  one path with two digests or sizes
 */
export async function saveSnapshot(
  db: Database,
  distributionId: number,
  snapshot: Snapshot,
  validator: Validator,
  basis?: number,
  olderAcceptance: number | null = null,
): Promise<{ generation: number }> {
  const members = membersOf(snapshot);
  return db.transaction(async (tx) => {
    const { latest, archiveId } = await lockForCapture(tx, distributionId);
    const generation = latest + 1;
    const newest = await readSnapshot(tx, distributionId, latest);
    if (basis !== undefined && basis !== latest) {
      if (newest !== null && (await isSame(tx, distributionId, newest, snapshot))) return { generation: latest };
      throw overtaken(basis, latest);
    }
    const changes = await writeMembers(tx, { distributionId, archiveId, generation }, members);
    if (changes === 0 && newest !== null && (await isSame(tx, distributionId, newest, snapshot))) return { generation: latest };
    await insertSnapshot(tx, distributionId, generation, snapshot, members);
    await insertIndices(tx, distributionId, generation, snapshot);
    if (olderAcceptance !== null) {
      const newestDate = newest?.date ?? null;
      await useOlderAcceptance(tx, olderAcceptance, { distributionId, generation, date: snapshot.date, newestDate });
    }
    // Two bodies of one Date are accepted and put on record: nobody can tell which is the older.
    const sameDate = newest?.date?.getTime() !== undefined && newest.date.getTime() === snapshot.date?.getTime();
    await announce(tx, distributionId, generation, validator, { changes, members: members.length, sameDate });
    return { generation };
  });
}

/**
 * The newest generation was signed again, its body unchanged: a new generation that every lane publishes, with the indices and members of the one before.
 * @throws ARCHIVE_CHANGING  `newest` is not the newest any more
 */
export async function saveResigned(
  db: Database,
  distributionId: number,
  newest: number,
  resigned: Pick<Snapshot, 'releaseSet' | 'signers' | 'untorn'>,
  validator: Validator,
): Promise<{ generation: number }> {
  return db.transaction(async (tx) => {
    const { latest } = await lockForCapture(tx, distributionId);
    if (latest !== newest) throw overtaken(newest, latest);
    const generation = latest + 1;
    const { inRelease, release, releaseGpg } = resigned.releaseSet;
    await sql`
      insert into distribution_snapshots (distribution_id, generation, in_release, release, release_gpg, body_sha256, date, valid_until, signers, untorn, blob_count, blob_bytes)
      select distribution_id, ${generation}, ${inRelease}, ${release}, ${releaseGpg}, body_sha256, date, valid_until,
             ${[...resigned.signers]}::text[], ${resigned.untorn}, blob_count, blob_bytes
      from distribution_snapshots where distribution_id = ${distributionId} and generation = ${latest}`.execute(tx.kysely);
    await sql`
      insert into snapshot_indices (distribution_id, generation, path, sha256, size)
      select distribution_id, ${generation}, path, sha256, size from snapshot_indices
      where distribution_id = ${distributionId} and generation = ${latest}`.execute(tx.kysely);
    await announce(tx, distributionId, generation, validator, { resigned: true });
    return { generation };
  });
}

const overtaken = (basis: number, latest: number): DebgeoError =>
  new DebgeoError('ARCHIVE_CHANGING', 'another capture was faster', { expected: `generation ${basis}`, found: `generation ${latest}` });

function membersOf(snapshot: Snapshot): Blob[] {
  const members = new Map<RepoPath, Blob>();
  const add = (blob: Blob): void => {
    const known = members.get(blob.path);
    if (known !== undefined && (known.sha256 !== blob.sha256 || known.size !== blob.size))
      throw new DebgeoError('INDEX_CONTRADICTION', `${blob.path} is named twice, differently`, {
        expected: known.sha256,
        found: blob.sha256,
      });
    members.set(blob.path, blob);
  };
  for (const blob of snapshot.poolFiles) add(blob);
  for (const { byHashPaths, size, sha256 } of snapshot.indices) for (const path of byHashPaths) add({ path, size, sha256 });
  if (members.size === 0)
    throw new DebgeoError('SNAPSHOT_EMPTY', 'the snapshot has no file at all', { expected: 'at least one', found: '0' });
  return [...members.values()];
}

/** The lock against prune first, in a statement of its own, then the distribution: captures of one distribution come one after the other. */
async function lockForCapture(tx: Tx, distributionId: number): Promise<{ latest: number; archiveId: number }> {
  const { rows } = await sql<{
    archiveId: number;
  }>`select archive_id as "archiveId" from debian_distributions where id = ${distributionId}`.execute(tx.kysely);
  const { archiveId } = rows[0]!;
  await lockArchiveShared(tx, archiveId);
  const locked = await sql<{ latest: number }>`
    select latest_generation as latest from debian_distributions where id = ${distributionId} for no key update`.execute(tx.kysely);
  return { latest: locked.rows[0]!.latest, archiveId };
}

/** Closes the ranges of members that left and opens those that came. Returns how many did. */
async function writeMembers(
  tx: Tx,
  at: { readonly distributionId: number; readonly archiveId: number; readonly generation: number },
  members: readonly Blob[],
): Promise<number> {
  const { kysely } = tx;
  await sql`create temporary table captured (path text not null, size bigint not null, sha256 bytea not null) on commit drop`.execute(
    kysely,
  );
  for (let from = 0; from < members.length; from += ROWS_PER_INSERT) {
    const rows = members.slice(from, from + ROWS_PER_INSERT);
    await sql`
      insert into captured select path, size, decode(sha256, 'hex')
      from unnest(${rows.map((row) => row.path)}::text[], ${rows.map((row) => row.size)}::bigint[], ${rows.map((row) => row.sha256)}::text[]) as t (path, size, sha256)`.execute(
      kysely,
    );
  }
  await sql`analyze captured`.execute(kysely);

  // In one order everywhere: two captures of one archive that bring the same paths wait for each other instead of deadlocking.
  await sql`
    insert into paths (archive_id, path)
    select ${at.archiveId}, c.path from captured c
    where not exists (select from paths p where p.archive_id = ${at.archiveId} and p.path = c.path) order by c.path
    on conflict do nothing`.execute(kysely);
  // A digest has one size; where an archive corrects a wrong one, the newest signed claim stands.
  await sql`
    insert into blobs (path_id, size, sha256)
    select p.id, c.size, c.sha256 from captured c join paths p on p.archive_id = ${at.archiveId} and p.path = c.path
    where not exists (select from blobs b where b.path_id = p.id and b.sha256 = c.sha256 and b.size = c.size) order by p.id
    on conflict (path_id, sha256) do update set size = excluded.size`.execute(kysely);
  await sql`
    create temporary table member on commit drop as
    select b.id as blob_id from captured c
    join paths p on p.archive_id = ${at.archiveId} and p.path = c.path join blobs b on b.path_id = p.id and b.sha256 = c.sha256`.execute(
    kysely,
  );
  await sql`analyze member`.execute(kysely);

  const left = await sql`
    update snapshot_blobs m set to_generation = ${at.generation}
    where m.distribution_id = ${at.distributionId} and m.to_generation = ${OPEN}
      and not exists (select from member where member.blob_id = m.blob_id)`.execute(kysely);
  const came = await sql`
    insert into snapshot_blobs (distribution_id, blob_id, from_generation)
    select ${at.distributionId}, member.blob_id, ${at.generation} from member
    where not exists (select from snapshot_blobs m
      where m.distribution_id = ${at.distributionId} and m.blob_id = member.blob_id and m.to_generation = ${OPEN})`.execute(kysely);
  return Number(left.numAffectedRows ?? 0n) + Number(came.numAffectedRows ?? 0n);
}

/** Whether Release set and indices are those of a stored snapshot, byte for byte. */
async function isSame(tx: Tx, distributionId: number, stored: StoredSnapshot, snapshot: Snapshot): Promise<boolean> {
  if (!isSameReleaseSet(stored.releaseSet, snapshot.releaseSet)) return false;
  const digests = await indexDigestsOf(tx, distributionId, stored.generation);
  return (
    digests.size === snapshot.indices.length + snapshot.absent.length &&
    snapshot.indices.every((index) => digests.get(index.path) === index.sha256) &&
    snapshot.absent.every((path) => digests.get(path) === null)
  );
}

export function isSameReleaseSet(one: ReleaseSet, other: ReleaseSet): boolean {
  const isSame = (a: Uint8Array | null, b: Uint8Array | null): boolean => (a === null || b === null ? a === b : Buffer.compare(a, b) === 0);
  return isSame(one.inRelease, other.inRelease) && isSame(one.release, other.release) && isSame(one.releaseGpg, other.releaseGpg);
}

async function insertSnapshot(
  tx: Tx,
  distributionId: number,
  generation: number,
  snapshot: Snapshot,
  members: readonly Blob[],
): Promise<void> {
  const { inRelease, release, releaseGpg } = snapshot.releaseSet;
  const bytes = members.reduce((sum, member) => sum + member.size, 0);
  await sql`
    insert into distribution_snapshots (distribution_id, generation, in_release, release, release_gpg, body_sha256, date, valid_until, signers, untorn, blob_count, blob_bytes)
    values (${distributionId}, ${generation}, ${inRelease}, ${release}, ${releaseGpg}, decode(${snapshot.bodySha256}, 'hex'), ${timestamp(snapshot.date)},
            ${timestamp(snapshot.validUntil)}, ${[...snapshot.signers]}::text[], ${snapshot.untorn}, ${members.length}, ${bytes})`.execute(
    tx.kysely,
  );
}

async function insertIndices(tx: Tx, distributionId: number, generation: number, snapshot: Snapshot): Promise<void> {
  const rows = [
    ...snapshot.indices.map(({ path, sha256, size }) => ({ path, sha256, size })),
    ...snapshot.absent.map((path) => ({ path, sha256: null, size: 0 })),
  ];
  await sql`
    insert into snapshot_indices (distribution_id, generation, path, sha256, size)
    select ${distributionId}, ${generation}, path, decode(sha256, 'hex'), size
    from unnest(${rows.map((row) => row.path)}::text[], ${rows.map((row) => row.sha256)}::text[], ${rows.map((row) => row.size)}::bigint[]) as t (path, sha256, size)`.execute(
    tx.kysely,
  );
}

/** A generation exists: the distribution, its replications, the record of events and the roll-up say so. */
async function announce(
  tx: Tx,
  distributionId: number,
  generation: number,
  validator: Validator,
  facts: Readonly<Record<string, unknown>>,
): Promise<void> {
  await sql`
    update debian_distributions set latest_generation = ${generation}, in_release_etag = ${validator.etag}, in_release_last_modified = ${validator.lastModified}
    where id = ${distributionId}`.execute(tx.kysely);
  await wantGeneration(tx, distributionId, generation);
  await recordEvent(tx, { distributionId, generation, what: 'captured', facts });
  await rollUp(tx, distributionId);
}
