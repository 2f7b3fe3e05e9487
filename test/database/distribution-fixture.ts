/**
 * A migrated database of its own, with one archive and one distribution at the sites that a test
 * asks for.
 */
import { sql } from 'kysely';

import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { one } from '../../src/database/sql.ts';
import { BlobSet } from '../../src/domain/blob-set.ts';
import type { Blob } from '../../src/domain/blob.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import type { Snapshot, Validator } from '../../src/domain/snapshot.ts';
import { aConfiguration } from '../support/configuration.ts';
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
  const sites = options.sites ?? [];
  await applyConfiguration(
    db,
    aConfiguration({
      archive: {
        ...(options.url === undefined ? {} : { url: options.url }),
        keyring: options.keyring ?? null,
      },
      sites: sites.length === 0 ? ['primary'] : sites,
      distributions: {
        [DISTRIBUTION]: {
          suite: 'stable',
          components: options.components ?? [],
          sites,
          poll: 600_000,
        },
      },
    }),
    false,
  );
  const distribution = await one(
    db.read,
    sql<{ id: number }>`
      update debian_distributions
      set tuning = ${JSON.stringify(options.tuning ?? {})}::jsonb
      returning id`,
  );
  const distributionId = distribution!.id;
  return { db, distributionId, close: () => db.close() };
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
