/**
 * Two distributions of one archive at two sites, and the steps of a lane in the database: no site
 * is written to.
 */
import { createHash } from 'node:crypto';
import type { TestContext } from 'node:test';

import { readDistribution } from '../../src/database/catalog/distributions.ts';
import { saveSnapshot } from '../../src/database/catalog/save-snapshot.ts';
import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database } from '../../src/database/orm.ts';
import {
  finishPublication,
  openPublication,
  type Publication,
} from '../../src/database/publications/publications.ts';
import { claimBlobs, finishBlobs, type WantedBlob } from '../../src/database/registry/claims.ts';
import { planBlobs } from '../../src/database/registry/plan-blobs.ts';
import type { LaneKey } from '../../src/database/replication-row.ts';
import {
  finishReplication,
  startAttempt,
  type StepAttempt,
} from '../../src/database/replications/attempts.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import { aConfiguration } from '../support/configuration.ts';
import { replicationOf } from '../support/replication-of.ts';
import { migratedDatabase } from '../support/servers.ts';
import { blobSetOf } from './distribution-fixture.ts';

export const digestOf = (text: string) => createHash('sha256').update(text).digest('hex') as Sha256;
export const SIZE = 100;

export async function aDatabase(
  t: TestContext,
  options: { poolMax?: number } = {},
): Promise<Database> {
  const db = await connectDatabase(await migratedDatabase(), options);
  t.after(() => db.close());
  const configuration = aConfiguration({
    sites: ['fra', 'sin'],
    distributions: { stable: { primary: 'sin' }, testing: { primary: 'sin' } },
  });
  await applyConfiguration(db, configuration, false);
  return db;
}

let released = 0;

/** Captures a release of these pool files, given as `path: text`. @returns its generation */
export async function capture(
  db: Database,
  name: string,
  files: Record<string, string>,
): Promise<number> {
  const { id } = (await readDistribution(db.read, name))!;
  const release = Buffer.from(`Release ${(released += 1)}`);
  const snapshot = {
    releaseSet: { inRelease: release, release: null, releaseGpg: null },
    bodySha256: sha256Of(release),
    date: new Date(),
    validUntil: null,
    signers: [],
    untorn: true,
    indices: [],
    absent: [],
    poolFiles: blobSetOf(
      Object.entries(files).map(([path, text]) => ({
        path: parseRepoPath(path),
        size: SIZE,
        sha256: digestOf(text),
      })),
    ),
  };
  return (await saveSnapshot(db, id, snapshot, { etag: null, lastModified: null })).generation;
}

/** Begins a step with the lane's row as it is, or with another ticket. */
export async function start(
  db: Database,
  name: string,
  generation: number,
  site = 'fra',
  step: Partial<StepAttempt> = {},
): Promise<LaneKey> {
  const at = { distribution: name, site };
  const { ticket } = await replicationOf(db.read, at);
  const begun = await startAttempt(db, at, { generation, ticket: ticket!, attempt: 1, ...step });
  if ('stale' in begun) throw new Error(`${name} at ${site} is not as the test thinks`);
  return begun.key;
}

export async function plan(
  db: Database,
  name: string,
  generation: number,
  site = 'fra',
): Promise<LaneKey> {
  const lane = await start(db, name, generation, site);
  await db.transaction((tx) => planBlobs(tx, lane));
  return lane;
}

export const claim = (db: Database, lane: LaneKey, files = 100, bytes = 1e9) =>
  claimBlobs(db, lane, files, bytes);
export const read = (blob: WantedBlob, sha256: Sha256 = blob.sha256, etag = '"1"') => ({
  pathId: blob.pathId,
  blobId: blob.blobId,
  checksum: { etag, size: SIZE, sha256, lastModified: 0 },
});
export const files = (count: number) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`pool/${index}.deb`, `${index}`]),
  );

/** Books everything of a generation as copied, as a lane does that runs alone. */
export async function settle(
  db: Database,
  name: string,
  generation: number,
  site = 'fra',
): Promise<LaneKey> {
  const lane = await plan(db, name, generation, site);
  const blobs = await claim(db, lane, 10_000);
  if (blobs.length > 0)
    await finishBlobs(
      db,
      lane,
      blobs.map((blob) => read(blob)),
    );
  return lane;
}

/** R of a generation, for tests that write to no site. */
const releaseOf = ({ generation }: LaneKey): Sha256 => sha256Of(Buffer.from(`R ${generation}`));

export const beginToPublish = (db: Database, lane: LaneKey): Promise<Publication> =>
  openPublication(db, lane, releaseOf(lane));

export const endToPublish = (db: Database, publication: Publication): Promise<void> =>
  finishPublication(
    db,
    publication,
    { release: releaseOf(publication.lane), releaseEtag: '"R"', etag: '"H"' },
    0,
  );

/** Books a publication as done. */
export const publish = async (db: Database, lane: LaneKey): Promise<void> =>
  endToPublish(db, await beginToPublish(db, lane));

/** Books a generation as copied and published: the site serves it from now on. */
export async function serve(
  db: Database,
  name: string,
  generation: number,
  site = 'fra',
): Promise<LaneKey> {
  const lane = await settle(db, name, generation, site);
  await publish(db, lane);
  await finishReplication(db, { distribution: name, site }, lane);
  return lane;
}
