/**
 * A migrated database of its own, with one archive and one distribution at the sites that a test
 * asks for.
 */
import { sql } from 'kysely';

import { connectDatabase, type Database, type Tx } from '../../src/database/orm.ts';
import { one, run } from '../../src/database/sql.ts';
import { BlobSet } from '../../src/domain/blob-set.ts';
import type { Blob } from '../../src/domain/blob.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import type { Snapshot, Validator } from '../../src/domain/snapshot.ts';
import { migratedDatabase } from '../support/servers.ts';

export const DISTRIBUTION = 'debian-bookworm';
export const NO_VALIDATOR: Validator = { etag: null, lastModified: null };

export interface Fixture {
  readonly db: Database;
  readonly distributionId: number;
  close(): Promise<void>;
}

export async function aDistribution(
  options: {
    sites?: readonly string[];
    url?: string;
    keyring?: Uint8Array | null;
    components?: string[];
    tuning?: object;
  } = {},
): Promise<Fixture> {
  const db = await connectDatabase(await migratedDatabase());
  const distributionId = await db.transaction(async (tx) => {
    const url = options.url ?? 'http://127.0.0.1:1';
    await run(
      tx,
      sql`
        insert into archives (name, url, mount, keyring)
        values ('debian', ${url}, 'debian', ${options.keyring ?? null})`,
    );
    const tuning = JSON.stringify(options.tuning ?? {});
    const distribution = await one(
      tx,
      sql<{ id: number }>`
        insert into debian_distributions (name, archive_id, suite, components, tuning)
        select ${DISTRIBUTION}, id, 'stable', ${options.components ?? []}::text[], ${tuning}::jsonb
        from archives
        returning id`,
    );
    const { id } = distribution!;
    for (const site of options.sites ?? []) await insertSite(tx, id, site);
    return id;
  });
  return { db, distributionId, close: () => db.close() };
}

async function insertSite(tx: Tx, distributionId: number, site: string): Promise<void> {
  const url = `http://127.0.0.1:1/${site}`;
  await run(
    tx,
    sql`
      insert into replication_sites (name, account_url, container, public_url, credential)
      values (${site}, ${url}, 'c', ${url}, '{"env": "X"}')`,
  );
  await run(
    tx,
    sql`
      insert into distribution_replications (distribution_id, site_id)
      select ${distributionId}, id
      from replication_sites
      where name = ${site}`,
  );
}

export const aBlob = (path: string, content: string = path): Blob => ({
  path: parseRepoPath(path),
  size: content.length,
  sha256: sha256Of(Buffer.from(content)),
});

export function blobSetOf(blobs: Iterable<Blob>): BlobSet {
  const set = new BlobSet();
  for (const blob of blobs) set.add(blob);
  return set;
}

/**
 * A snapshot of these pool files; `body` is the signed text, and InRelease is `body` and
 * `signature`.
 */
export function aSnapshot(poolFiles: readonly Blob[], body: string, signature = ''): Snapshot {
  const index = aBlob(
    'dists/stable/main/binary-amd64/Packages.gz',
    poolFiles.map((blob) => blob.path + blob.sha256).join(),
  );
  return {
    releaseSet: {
      inRelease: Buffer.from(body + signature),
      release: Buffer.from(body),
      releaseGpg: null,
    },
    bodySha256: sha256Of(Buffer.from(body)),
    date: new Date('2026-01-01T00:00:00Z'),
    validUntil: null,
    signers: ['A'.repeat(40)],
    untorn: true,
    indices: [
      {
        ...index,
        byHashPaths: [
          parseRepoPath(`dists/stable/main/binary-amd64/by-hash/SHA256/${index.sha256}`),
        ],
      },
    ],
    absent: [parseRepoPath('dists/stable/main/binary-amd64/Packages')],
    poolFiles: blobSetOf(poolFiles),
  };
}
