/** What a scrub books, beside lanes and prunes that write the same rows. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { readSite } from '../../../src/database/configuration/sites.ts';
import type { Database } from '../../../src/database/orm.ts';
import { finishReplication } from '../../../src/database/replications/attempts.ts';
import { askScrub } from '../../../src/database/scrub/commands.ts';
import { endPass } from '../../../src/database/scrub/end-pass.ts';
import { bookBlobs, type Found } from '../../../src/database/scrub/findings.ts';
import { blobsToScrub } from '../../../src/database/scrub/pages.ts';
import { bookRepaired, claimRotten } from '../../../src/database/scrub/repairs.ts';
import { startScrubbing } from '../../../src/database/scrub/scrubs.ts';
import { one, run } from '../../../src/database/sql.ts';
import { DebgeoError } from '../../../src/domain/errors.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { seeded } from '../../support/seeded.ts';
import {
  aDatabase,
  beginToPublish,
  capture,
  digestOf,
  endToPublish,
  read,
  serve,
  settle,
  SIZE,
} from '../lanes-fixture.ts';
import { keep, prune } from '../prune/prune-fixture.ts';

const AT = { distribution: 'stable', site: 'fra' };
const stateOf = async (db: Database) => (await replicationOf(db.read, AT)).state;

async function begin(db: Database) {
  await askScrub(db, 'fra');
  const begun = await startScrubbing(db, 'fra', null, 1);
  assert.ok('key' in begun);
  return begun;
}

/** Reads a page, of which some are wrong, and books it. */
async function scrubPage(
  db: Database,
  { key, cursor }: Awaited<ReturnType<typeof begin>>,
  isWrong: (path: string) => boolean,
): Promise<Found> {
  const page = await blobsToScrub(db.read, key.siteId, cursor, 100);
  if (page.length === 0) return { wrong: 0, rotten: [] };
  const seen = page.map((blob) => ({
    ...blob,
    checksum: {
      etag: blob.etag!,
      size: SIZE,
      sha256: isWrong(blob.path) ? digestOf('rot') : blob.sha256,
      lastModified: 0,
    },
  }));
  return bookBlobs(db, key, seen, { ...cursor, pathId: page.at(-1)!.pathId });
}

test('a lane that publishes while rot is booked is not synced when it ends', async (t) => {
  const db = await aDatabase(t);
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/a.deb': 'a' }));
  const generation = await capture(db, 'stable', { 'pool/a.deb': 'a', 'pool/b.deb': 'b' });
  const lane = await settle(db, 'stable', generation);
  const publication = await beginToPublish(db, lane);

  const begun = await begin(db);
  const { wrong, rotten } = await scrubPage(db, begun, (path) => path === 'pool/a.deb');

  assert.deepEqual([wrong, rotten, await stateOf(db)], [1, ['stable'], 'started']);
  await endToPublish(db, publication);
  await finishReplication(db, AT, lane);
  assert.equal(await stateOf(db), 'pending');
});

test('while a lane publishes, the scrub repairs what it found', async (t) => {
  const db = await aDatabase(t);
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/a.deb': 'a' }));
  const generation = await capture(db, 'stable', { 'pool/a.deb': 'a', 'pool/b.deb': 'b' });
  const lane = await settle(db, 'stable', generation);
  const begun = await begin(db);
  await scrubPage(db, begun, (path) => path === 'pool/a.deb');
  assert.deepEqual(await claimRotten(db, begun.key, 10), [], 'a lane takes it');
  await run(db.read, sql`update blob_registry set state = 2, verification_state = 2`);
  const publication = await beginToPublish(db, lane);
  await scrubPage(db, await begin(db), (path) => path === 'pool/a.deb');

  const key = (await begin(db)).key;
  const claimed = await claimRotten(db, key, 10);
  await bookRepaired(
    db,
    key,
    claimed.map((blob) => ({ ...read(blob), blob })),
  );

  assert.deepEqual(
    claimed.map(({ path, distribution }) => [path, distribution]),
    [['pool/a.deb', 'stable']],
  );
  await endToPublish(db, publication);
  await finishReplication(db, AT, lane);
  assert.equal(await stateOf(db), 'synced');
});

test('an older slice books nothing, and a prune does not end a scrub', async (t) => {
  const db = await aDatabase(t);
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/a.deb': 'a' }));
  const older = await begin(db);
  await prune(db, (await readSite(db.read, 'fra')).id);
  assert.equal((await scrubPage(db, older, () => false)).wrong, 0);
  const newer = await begin(db);

  await assert.rejects(
    scrubPage(db, older, () => true),
    (error) => error instanceof DebgeoError && error.code === 'FENCED',
  );
  assert.equal(await stateOf(db), 'synced');
  assert.notEqual((await endPass(db, 'fra', newer.key)).endedAt, null);
});

/** FENCED and the like are answers, deadlocks are not. */
const isAnswer = (error: unknown): boolean =>
  error instanceof DebgeoError &&
  ['FENCED', 'NOT_VERIFIED', 'SUPERSEDED', 'CANCELLED'].includes(error.code);

async function race(t: TestContext, seed: number): Promise<number> {
  const db = await aDatabase(t);
  await keep(db, 0, 1);
  const random = seeded(seed);
  const { id } = await readSite(db.read, 'fra');
  let open = 2;
  let found = 0;
  const suite = async (name: string): Promise<void> => {
    for (let release = 0; release < 12; release += 1) {
      const files = Array.from({ length: 12 }, (_, index) => `pool/${index}.deb`)
        .filter(() => random() < 0.5)
        .concat(`pool/${name}.deb`);
      const content = Object.fromEntries(files.map((path) => [path, path]));
      const generation = await capture(db, name, content);
      for (let tries = 0; ; tries += 1)
        try {
          await serve(db, name, generation);
          break;
        } catch (error) {
          if (!isAnswer(error) || tries > 50) throw error;
        }
    }
    open -= 1;
  };
  const scrubber = async (): Promise<void> => {
    while (open > 0)
      try {
        const begun = await begin(db);
        found += (await scrubPage(db, begun, () => random() < 0.2)).wrong;
        const claimed = await claimRotten(db, begun.key, 10);
        await bookRepaired(
          db,
          begun.key,
          claimed.map((blob) => ({ ...read(blob), blob })),
        );
        await endPass(db, 'fra', begun.key);
      } catch (error) {
        if (!isAnswer(error)) throw error;
      }
  };
  const pruner = async (): Promise<void> => {
    while (open > 0)
      await prune(db, id).catch((error: unknown) => {
        if (!isAnswer(error)) throw error;
      });
  };
  await Promise.all([suite('stable'), suite('testing'), scrubber(), scrubber(), pruner()]);
  for (const name of ['stable', 'testing']) {
    const { target } = await replicationOf(db.read, { distribution: name, site: 'fra' });
    await serve(db, name, target);
  }
  const rest = await one(
    db.read,
    sql<{ count: number }>`
      select count(*)
      from snapshot_blobs m
      join debian_distributions d
        on d.id = m.distribution_id
          and m.from_generation <= d.latest_generation
          and m.to_generation > d.latest_generation
      left join blob_registry r on r.blob_id = m.blob_id and r.site_id = ${id}
      where r.settled is not true`,
  );
  assert.equal(rest!.count, 0);
  return found;
}

test('scrubs, lanes and prunes of one site do not wait for each other in a circle', async (t) => {
  const found = await race(t, 1);

  assert.ok(found > 5, `${found} found wrong meanwhile`);
});
