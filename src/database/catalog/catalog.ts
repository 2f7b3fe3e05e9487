/**
 * What should exist: distributions as configured, and their snapshots. A generation costs only its
 * changes: members (pool files, and indices at their by-hash paths) are generation ranges [from,
 * to).
 */
import { sql } from 'kysely';

import { BlobSet } from '../../domain/blob-set.ts';
import { DebgeoError } from '../../domain/errors.ts';
import { releaseSetPaths, type RepoPath } from '../../domain/repo-path.ts';
import { SHA256_BYTES, type Sha256 } from '../../domain/sha256.ts';
import type { Validator } from '../../domain/snapshot.ts';
import type { PublishedName, ReleaseSet, Selection, Snapshot } from '../../domain/snapshot.ts';
import { recordEvent } from '../incidents.ts';
import { lockArchiveShared } from '../locks.ts';
import { type Database, type Tx } from '../orm.ts';
import { useOlderAcceptance } from '../replications/older-acceptances.ts';
import { rollUp, wantGeneration } from '../replications/replications.ts';
import { ms, timestamp, all, one, run } from '../sql.ts';

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
  const row = await one(
    tx,
    sql<DistributionRow>`
      select d.id, d.name, d.suite, d.components, d.architectures, s.name as "primarySite", d.accept_undated as "acceptUndated",
             d.poll_interval_ms as "pollIntervalMs", d.latest_generation as "latestGeneration", d.in_release_etag as etag,
             d.in_release_last_modified as "lastModified", d.looks, a.id as "archiveId", a.name as "archiveName", a.url, a.mount, a.keyring,
             a.redirect_origins as "redirectOrigins",
             (select count(*) from distribution_replications r join replication_sites o on o.id = r.site_id
              where r.distribution_id = d.id and o.enabled)::int as "siteCount"
      from debian_distributions d join archives a on a.id = d.archive_id left join replication_sites s on s.id = d.replication_site_id
      where d.name = ${name} and not d.removed`,
  );
  if (row === null) return null;
  const {
    components,
    architectures,
    etag,
    lastModified,
    archiveId,
    archiveName,
    url,
    mount,
    keyring,
    redirectOrigins,
    ...distribution
  } = row;
  return {
    ...distribution,
    archive: { id: archiveId, name: archiveName, url, mount, keyring, redirectOrigins },
    selection: { components, architectures },
    validator: etag === null && lastModified === null ? null : { etag, lastModified },
    newest:
      row.latestGeneration === 0 ? null : await readSnapshot(tx, row.id, row.latestGeneration),
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

export async function readSnapshot(
  tx: Tx,
  distributionId: number,
  generation: number,
): Promise<StoredSnapshot | null> {
  const row = await one(
    tx,
    sql<SnapshotRow>`
      select generation, in_release as "inRelease", release, release_gpg as "releaseGpg", encode(body_sha256, 'hex') as "bodySha256",
             ${ms('date')} as date, ${ms('valid_until')} as "validUntil", signers, untorn
      from distribution_snapshots where distribution_id = ${distributionId} and generation = ${generation}`,
  );
  if (row === null) return null;
  const { inRelease, release, releaseGpg, date, validUntil, ...snapshot } = row;
  return {
    ...snapshot,
    releaseSet: { inRelease, release, releaseGpg },
    date: dateOf(date),
    validUntil: dateOf(validUntil),
  };
}

const dateOf = (time: number | null): Date | null => (time === null ? null : new Date(time));

/**
 * Canonical paths that Release listed within the selection when this generation was captured, with
 * their digests; null: absent at the archive.
 */
export async function indexDigestsOf(
  tx: Tx,
  distributionId: number,
  generation: number,
): Promise<Map<RepoPath, Sha256 | null>> {
  const rows = await all(
    tx,
    sql<{ path: RepoPath; sha256: Sha256 | null }>`
    select path, encode(sha256, 'hex') as sha256 from snapshot_indices
    where distribution_id = ${distributionId} and generation = ${generation}`,
  );
  return new Map(rows.map((row) => [row.path, row.sha256]));
}

/**
 * Where the archive had an index of these bytes, by its canonical names, the newest generation
 * first.
 */
export async function canonicalPathsOf(
  tx: Tx,
  distributionId: number,
  sha256: Sha256,
): Promise<RepoPath[]> {
  const rows = await all(
    tx,
    sql<{ path: RepoPath }>`
    select path from snapshot_indices where distribution_id = ${distributionId} and sha256 = decode(${sha256}, 'hex')
    group by path order by max(generation) desc, path`,
  );
  return rows.map((row) => row.path);
}

/**
 * Every name whose bytes change from release to release, with what this generation wants there:
 * canonical indices and the Release set.
 */
export async function publishedNamesOf(
  tx: Tx,
  distributionId: number,
  generation: number,
  suiteFolder: string,
): Promise<PublishedName[]> {
  const [inRelease, release, releaseGpg] = releaseSetPaths(suiteFolder);
  const rows = await all(
    tx,
    sql<PublishedName>`
    select path, encode(sha256, 'hex') as sha256, size from snapshot_indices
    where distribution_id = ${distributionId} and generation = ${generation}
    union all
    select name, encode(sha256(bytes), 'hex'), coalesce(octet_length(bytes), 0)::bigint
    from distribution_snapshots s,
      lateral (values (${releaseGpg}, s.release_gpg), (${release}, s.release), (${inRelease}, s.in_release)) release_set (name, bytes)
    where s.distribution_id = ${distributionId} and s.generation = ${generation}`,
  );
  return rows;
}

/**
 * Saves a captured snapshot as the next generation, in one transaction: all of it, or nothing.
 * Every replication then wants it. The same Release set with the same indices and members as the
 * newest generation is that generation (I5).
 * @param basis the newest generation when the snapshot was judged; without it, whichever is the
 *   newest now
 * @param olderAcceptance the word that lets this older release in; used up with it
 * @throws ARCHIVE_CHANGING `basis` is not the newest any more: a slow capture must not bring back
 *   an older release
 * @throws RELEASE_ROLLBACK `olderAcceptance` was used or has ended meanwhile
 * @throws SNAPSHOT_EMPTY no member at all
 * @throws INDEX_CONTRADICTION one path with two digests or sizes
 */
export async function saveSnapshot(
  db: Database,
  distributionId: number,
  snapshot: Snapshot,
  validator: Validator,
  basis?: number,
  olderAcceptance: number | null = null,
): Promise<{ generation: number }> {
  const members = [snapshot.poolFiles, byHashOf(snapshot)];
  const files = {
    count: sumOf(members, (set) => set.size),
    bytes: sumOf(members, (set) => set.bytes),
  };
  return db.transaction(async (tx) => {
    const { latest, archiveId } = await lockForCapture(tx, distributionId);
    const generation = latest + 1;
    const newest = await readSnapshot(tx, distributionId, latest);
    if (basis !== undefined && basis !== latest) {
      if (newest !== null && (await isSame(tx, distributionId, newest, snapshot)))
        return { generation: latest };
      throw overtaken(basis, latest);
    }
    const changes = await writeMembers(tx, { distributionId, archiveId, generation }, members);
    if (changes === 0 && newest !== null && (await isSame(tx, distributionId, newest, snapshot)))
      return { generation: latest };
    await insertSnapshot(tx, distributionId, generation, snapshot, files);
    await insertIndices(tx, distributionId, generation, snapshot);
    if (olderAcceptance !== null) {
      const newestDate = newest?.date ?? null;
      await useOlderAcceptance(tx, olderAcceptance, {
        distributionId,
        generation,
        date: snapshot.date,
        newestDate,
      });
    }
    // Two bodies of one Date are accepted and put on record: nobody can tell which is the older.
    const sameDate =
      newest?.date?.getTime() !== undefined && newest.date.getTime() === snapshot.date?.getTime();
    await announce(tx, distributionId, generation, validator, {
      changes,
      members: files.count,
      sameDate,
    });
    return { generation };
  });
}

/**
 * The newest generation was signed again, its body unchanged: a new generation that every lane
 * publishes, with the indices and members of the one before.
 * @throws ARCHIVE_CHANGING `newest` is not the newest any more
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
    await run(
      tx,
      sql`
      insert into distribution_snapshots (distribution_id, generation, in_release, release, release_gpg, body_sha256, date, valid_until, signers, untorn, blob_count, blob_bytes)
      select distribution_id, ${generation}, ${inRelease}, ${release}, ${releaseGpg}, body_sha256, date, valid_until,
             ${[...resigned.signers]}::text[], ${resigned.untorn}, blob_count, blob_bytes
      from distribution_snapshots where distribution_id = ${distributionId} and generation = ${latest}`,
    );
    await run(
      tx,
      sql`
      insert into snapshot_indices (distribution_id, generation, path, sha256, size)
      select distribution_id, ${generation}, path, sha256, size from snapshot_indices
      where distribution_id = ${distributionId} and generation = ${latest}`,
    );
    await announce(tx, distributionId, generation, validator, { resigned: true });
    return { generation };
  });
}

const overtaken = (basis: number, latest: number): DebgeoError =>
  new DebgeoError('ARCHIVE_CHANGING', 'another capture was faster', {
    expected: `generation ${basis}`,
    found: `generation ${latest}`,
  });

const sumOf = (sets: readonly BlobSet[], what: (set: BlobSet) => number): number =>
  sets.reduce((sum, set) => sum + what(set), 0);

/** The indices at their by-hash paths. */
function byHashOf({ indices, poolFiles }: Snapshot): BlobSet {
  const byHash = new BlobSet();
  for (const { byHashPaths, size, sha256 } of indices)
    for (const path of byHashPaths) {
      byHash.add({ path, size, sha256 });
      if (poolFiles.has(path))
        throw new DebgeoError('INDEX_CONTRADICTION', `${path} is named twice, differently`, {
          expected: 'an index',
          found: 'a pool file',
        });
    }
  if (byHash.size + poolFiles.size === 0)
    throw new DebgeoError('SNAPSHOT_EMPTY', 'the snapshot has no file at all', {
      expected: 'at least one',
      found: '0',
    });
  return byHash;
}

/**
 * The lock against prune first, in a statement of its own, then the distribution: captures of one
 * distribution come one after the other.
 */
async function lockForCapture(
  tx: Tx,
  distributionId: number,
): Promise<{ latest: number; archiveId: number }> {
  const rows = await all(
    tx,
    sql<{
      archiveId: number;
    }>`select archive_id as "archiveId" from debian_distributions where id = ${distributionId}`,
  );
  const { archiveId } = rows[0]!;
  await lockArchiveShared(tx, archiveId);
  const locked = await all(
    tx,
    sql<{ latest: number }>`
    select latest_generation as latest from debian_distributions where id = ${distributionId} for no key update`,
  );
  return { latest: locked[0]!.latest, archiveId };
}

/** Closes the ranges of members that left and opens those that came. Returns how many did. */
async function writeMembers(
  { kysely }: Tx,
  at: { readonly distributionId: number; readonly archiveId: number; readonly generation: number },
  members: readonly BlobSet[],
): Promise<number> {
  await sql`create temporary table captured (path text not null, size bigint not null, sha256 bytea not null) on commit drop`.execute(
    kysely,
  );
  for (const set of members)
    for (const { paths, sizes, digests } of set.pieces())
      await sql`
        insert into captured select path, size, substr(${digests}::bytea, (place::int - 1) * ${SHA256_BYTES} + 1, ${SHA256_BYTES})
        from unnest(string_to_array(${paths.join('\n')}, E'\n'), string_to_array(${sizes.join()}, ',')::bigint[]) with ordinality as t (path, size, place)`.execute(
        kysely,
      );

  // What differs from the newest generation: without a blob it came, without a path it left, with
  // both the archive corrects a wrong size.
  await sql`
    create temporary table change on commit drop as
    select c.path, c.size, c.sha256, m.blob_id from captured c
    full join (
      select p.path, b.sha256, b.size, o.blob_id from snapshot_blobs o join blobs b on b.id = o.blob_id join paths p on p.id = b.path_id
      where o.distribution_id = ${at.distributionId} and o.to_generation = ${OPEN}) m on m.path = c.path and m.sha256 = c.sha256
    where m.blob_id is null or c.path is null or m.size <> c.size`.execute(kysely);

  // In one order everywhere: two captures of one archive that bring the same paths wait for each
  // other instead of deadlocking.
  await sql`
    insert into paths (archive_id, path)
    select ${at.archiveId}, c.path from change c
    where c.path is not null and not exists (select from paths p where p.archive_id = ${at.archiveId} and p.path = c.path) order by c.path
    on conflict do nothing`.execute(kysely);
  // A digest has one size; where an archive corrects a wrong one, the newest signed claim stands.
  await sql`
    insert into blobs (path_id, size, sha256)
    select p.id, c.size, c.sha256 from change c join paths p on p.archive_id = ${at.archiveId} and p.path = c.path
    where not exists (select from blobs b where b.path_id = p.id and b.sha256 = c.sha256 and b.size = c.size) order by p.id
    on conflict (path_id, sha256) do update set size = excluded.size`.execute(kysely);

  const left = await sql`
    update snapshot_blobs m set to_generation = ${at.generation} from change c
    where c.path is null and m.distribution_id = ${at.distributionId} and m.to_generation = ${OPEN} and m.blob_id = c.blob_id`.execute(
    kysely,
  );
  const came = await sql`
    insert into snapshot_blobs (distribution_id, blob_id, from_generation)
    select ${at.distributionId}, b.id, ${at.generation} from change c
    join paths p on p.archive_id = ${at.archiveId} and p.path = c.path join blobs b on b.path_id = p.id and b.sha256 = c.sha256
    where c.blob_id is null`.execute(kysely);
  return Number(left.numAffectedRows ?? 0n) + Number(came.numAffectedRows ?? 0n);
}

/** Whether Release set and indices are those of a stored snapshot, byte for byte. */
async function isSame(
  tx: Tx,
  distributionId: number,
  stored: StoredSnapshot,
  snapshot: Snapshot,
): Promise<boolean> {
  if (!isSameReleaseSet(stored.releaseSet, snapshot.releaseSet)) return false;
  const digests = await indexDigestsOf(tx, distributionId, stored.generation);
  return (
    digests.size === snapshot.indices.length + snapshot.absent.length &&
    snapshot.indices.every((index) => digests.get(index.path) === index.sha256) &&
    snapshot.absent.every((path) => digests.get(path) === null)
  );
}

export function isSameReleaseSet(one: ReleaseSet, other: ReleaseSet): boolean {
  const isSame = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
    a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
  return (
    isSame(one.inRelease, other.inRelease) &&
    isSame(one.release, other.release) &&
    isSame(one.releaseGpg, other.releaseGpg)
  );
}

async function insertSnapshot(
  tx: Tx,
  distributionId: number,
  generation: number,
  snapshot: Snapshot,
  files: { readonly count: number; readonly bytes: number },
): Promise<void> {
  const { inRelease, release, releaseGpg } = snapshot.releaseSet;
  await run(
    tx,
    sql`
    insert into distribution_snapshots (distribution_id, generation, in_release, release, release_gpg, body_sha256, date, valid_until, signers, untorn, blob_count, blob_bytes)
    values (${distributionId}, ${generation}, ${inRelease}, ${release}, ${releaseGpg}, decode(${snapshot.bodySha256}, 'hex'), ${timestamp(snapshot.date)},
            ${timestamp(snapshot.validUntil)}, ${[...snapshot.signers]}::text[], ${snapshot.untorn}, ${files.count}, ${files.bytes})`,
  );
}

async function insertIndices(
  tx: Tx,
  distributionId: number,
  generation: number,
  snapshot: Snapshot,
): Promise<void> {
  const rows = [
    ...snapshot.indices.map(({ path, sha256, size }) => ({ path, sha256, size })),
    ...snapshot.absent.map((path) => ({ path, sha256: null, size: 0 })),
  ];
  await run(
    tx,
    sql`
    insert into snapshot_indices (distribution_id, generation, path, sha256, size)
    select ${distributionId}, ${generation}, path, decode(sha256, 'hex'), size
    from unnest(${rows.map((row) => row.path)}::text[], ${rows.map((row) => row.sha256)}::text[], ${rows.map((row) => row.size)}::bigint[]) as t (path, sha256, size)`,
  );
}

/**
 * A generation exists: the distribution, its replications, the record of events and the roll-up say
 * so.
 */
async function announce(
  tx: Tx,
  distributionId: number,
  generation: number,
  validator: Validator,
  facts: Readonly<Record<string, unknown>>,
): Promise<void> {
  await run(
    tx,
    sql`
    update debian_distributions set latest_generation = ${generation}, in_release_etag = ${validator.etag}, in_release_last_modified = ${validator.lastModified}
    where id = ${distributionId}`,
  );
  await wantGeneration(tx, distributionId, generation);
  await recordEvent(tx, { distributionId, generation, what: 'captured', facts });
  await rollUp(tx, distributionId);
}
