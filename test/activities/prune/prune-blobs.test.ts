/**
 * Deleting at a site: beside lanes that need the same blobs again, through kills, and beside other
 * programs that write there.
 */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { setImmediate as yieldOnce, setTimeout as sleep } from 'node:timers/promises';

import { CancelledFailure } from '@temporalio/activity';
import { sql } from 'kysely';
import { pino } from 'pino';

import type { BlobSource } from '../../../activities/blob-source.ts';
import { copyBlob } from '../../../activities/copy-blob.ts';
import type { Deps } from '../../../activities/deps.ts';
import type { SiteStep } from '../../../activities/lane/step.ts';
import { writeHead } from '../../../activities/lane/write-head.ts';
import { createPruneBlobs } from '../../../activities/prune/prune-blobs.ts';
import { claimSite } from '../../../activities/site-claim.ts';
import { readHead } from '../../../src/database/anchors/heads.ts';
import { readSite } from '../../../src/database/configuration/sites.ts';
import type { Database } from '../../../src/database/orm.ts';
import { keptGenerations } from '../../../src/database/prune/kept-generations.ts';
import { markUnneeded } from '../../../src/database/prune/mark-unneeded.ts';
import { pruneArchives } from '../../../src/database/prune/prune-catalog.ts';
import { loadPrune } from '../../../src/database/prune/prunes.ts';
import {
  finishPublication,
  openPublication,
} from '../../../src/database/publications/publications.ts';
import { claimBlobs, finishBlobs } from '../../../src/database/registry/claims.ts';
import { planBlobs } from '../../../src/database/registry/plan-blobs.ts';
import type { LaneKey } from '../../../src/database/replication-row.ts';
import { finishReplication } from '../../../src/database/replications/attempts.ts';
import { DebgeoError } from '../../../src/domain/errors.ts';
import { sitePath, type RepoPath } from '../../../src/domain/repo-path.ts';
import type { Sha256 } from '../../../src/domain/sha256.ts';
import { encodeRelease } from '../../../src/site-format/anchors.ts';
import type { BlobContent, Expected, SiteStore } from '../../../src/site/site-store.ts';
import { aDatabase, capture, digestOf, SIZE, start } from '../../database/lanes-fixture.ts';
import { seeded } from '../../support/seeded.ts';
import { aPackage, code, inActivity, startLanes } from '../lane/lanes.ts';
import { Killed, meddling, mortal } from '../stores.ts';

const never = new AbortController().signal;

/**
 * Paths, ETags and digests, as conditional as Azure: slow and out of order between request and
 * effect, and between effect and answer.
 */
class SlowSite implements SiteStore {
  readonly site = 'fra';
  readonly blobs = new Map<string, { etag: string; sha256: Sha256 }>();
  /** By digest: of objects below .debgeo/ alone. */
  readonly #bytes = new Map<Sha256, Buffer>();
  readonly #random: () => number;
  #etags = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  async #pass(): Promise<void> {
    if (this.#random() < 0.3) await sleep(this.#random() * 12);
    else await yieldOnce();
  }

  async put(path: RepoPath, content: BlobContent, expected: Expected) {
    await this.#pass();
    if (path.startsWith('.debgeo/'))
      this.#bytes.set(content.sha256, Buffer.concat(await Array.fromAsync(content.bytes)));
    const found = this.blobs.get(path);
    const isExpected = expected === 'nothing' ? found === undefined : found?.etag === expected.etag;
    const etag = `"${(this.#etags += 1)}"`;
    if (isExpected) this.blobs.set(path, { etag, sha256: content.sha256 });
    await this.#pass();
    return isExpected ? { etag, lastModified: 0, siteClock: 0 } : ('conflict' as const);
  }

  async checksum(path: RepoPath, _signal: AbortSignal, etag?: string) {
    await this.#pass();
    const found = this.blobs.get(path);
    await this.#pass();
    if (found === undefined) return null;
    if (etag !== undefined && etag !== found.etag) return 'changed' as const;
    return { ...found, size: SIZE, lastModified: 0 };
  }

  async open(path: RepoPath) {
    assert.ok(path.startsWith('.debgeo/'), 'a prune opened a blob');
    await this.#pass();
    const found = this.blobs.get(path);
    if (found === undefined) return null;
    const bytes = this.#bytes.get(found.sha256)!;
    return { etag: found.etag, size: bytes.length, bytes: Readable.from([bytes]) };
  }

  async remove(path: RepoPath, etag: string) {
    await this.#pass();
    const found = this.blobs.get(path);
    if (found?.etag === etag) this.blobs.delete(path);
    await this.#pass();
    return found === undefined || found.etag === etag ? ('gone' as const) : ('conflict' as const);
  }
}

type Mark = (db: Database, siteId: number) => Promise<unknown>;

const RELEASES = 14;
const RACES_MAX = 10;
const POOL = Array.from({ length: 8 }, (_, index) => `pool/${index}.deb`);

/**
 * Two suites release again and again what they dropped before, while two prunes run. What is served
 * must be at the site at every moment.
 */
async function race(
  t: TestContext,
  mark: Mark,
  seed: number,
): Promise<{ deleted: number; faults: string[] }> {
  const db = await aDatabase(t);
  await sql`update replication_sites set grace_ms = 0, kept_generations = 1`.execute(
    db.read.kysely,
  );
  await loadPrune(db, 'fra');
  const random = seeded(seed);
  const site = new SlowSite(random);
  const { id } = await readSite(db.read, 'fra');
  await claimSite({ database: db, store: site, siteId: id, signal: never }, []);
  const deps = {
    database: db,
    log: pino({ level: 'silent' }),
    siteOf: async () => ({ store: site }),
  } as unknown as Deps;
  const faults: string[] = [];
  let open = 2;
  let deleted = 0;

  const assertThere = (suite: string, when: string, paths: readonly string[]) => {
    for (const path of paths)
      if (site.blobs.get(`debian/${path}`)?.sha256 !== digestOf(path))
        faults.push(`${suite} serves ${path}, which is gone (${when})`);
  };
  const suite = async (name: string): Promise<string[]> => {
    let served: string[] = [];
    for (let release = 0; release < RELEASES; release += 1) {
      const paths = POOL.filter(() => random() < 0.4).concat(`pool/${name}-${release % 3}.deb`);
      const generation = await capture(
        db,
        name,
        Object.fromEntries(paths.map((path) => [path, path])),
      );
      await replicate(db, site, name, generation);
      assertThere(name, 'just published', paths);
      served = paths;
      if (random() < 0.5) await sleep(random() * 30);
      assertThere(name, 'later', served);
    }
    open -= 1;
    return served;
  };
  const pruner = async (): Promise<void> => {
    while (open > 0) {
      await mark(db, id);
      const before = site.blobs.size;
      // The later of two slices at one site ends the earlier, which says so and changes nothing.
      await inActivity(() => createPruneBlobs(deps)({ site: 'fra' })).catch((error: unknown) => {
        if (!(error instanceof DebgeoError && error.code === 'FENCED')) throw error;
      });
      deleted += Math.max(0, before - site.blobs.size);
      if (random() < 0.3) await pruneArchives(db);
    }
  };
  const served = Promise.all([suite('stable'), suite('testing')]);
  await Promise.all([served, pruner(), pruner()]);
  for (const [index, name] of ['stable', 'testing'].entries())
    assertThere(name, 'at the end', (await served)[index]!);
  return { deleted, faults };
}

const ARCHIVE: BlobSource = {
  async *originsOf() {
    const bytes = (async function* () {})();
    yield { name: 'archive', open: async () => ({ bytes, md5: null }) };
  },
};

/** Replicates as a lane does: where the barrier finds a blob missing, it begins anew. */
async function replicate(
  db: Database,
  site: SlowSite,
  name: string,
  generation: number,
): Promise<void> {
  for (let rounds = 0; rounds < 50; rounds += 1) {
    const lane = await start(db, name, generation);
    await db.transaction((tx) => planBlobs(tx, lane));
    for (;;) {
      const batch = await claimBlobs(db, lane, 100, 1e9);
      if (batch.length === 0) break;
      const done = await Promise.all(
        batch.map(async (blob) => {
          const placed = { store: site, placeOf: (path: RepoPath) => sitePath('debian', path) };
          return {
            pathId: blob.pathId,
            blobId: blob.blobId,
            checksum: await copyBlob(placed, ARCHIVE, blob, never, async () => undefined),
          };
        }),
      );
      await finishBlobs(db, lane, done);
    }
    try {
      await publish(db, site, lane, name);
      await finishReplication(db, { distribution: name, site: 'fra' }, lane);
      return;
    } catch (error) {
      if (!(error instanceof DebgeoError && error.code === 'NOT_VERIFIED')) throw error;
      await sleep(5); // the other suite copies what both need
    }
  }
  throw new Error('never verified');
}

/** R and H at the site, and no published names. */
async function publish(db: Database, store: SlowSite, key: LaneKey, suite: string): Promise<void> {
  const before = await readHead(db.read, key);
  const release = encodeRelease({
    mount: 'debian',
    suite,
    selection: { components: [], architectures: [] },
    releaseSet: { inRelease: Buffer.from(`${key.generation}`), release: null, releaseGpg: null },
    absent: [],
    previous: before.head?.release ?? null,
  });
  const publication = await openPublication(db, key, release.sha256);
  const distribution = { suite, archive: { mount: 'debian' } };
  const step = { store, key, distribution, context: { signal: never } } as unknown as SiteStep;
  await finishPublication(db, publication, await writeHead(db, step, before, release), 0);
}

test('two suites that name deleted blobs again, beside two prunes, lose none', async (t) => {
  const { deleted, faults } = await race(t, (db, siteId) => markUnneeded(db, siteId), 1);

  assert.deepEqual(faults, []);
  assert.ok(deleted > 5, `${deleted} blobs were deleted meanwhile`);
});

test('the race is lost if a mark is judged without the lock', async (t) => {
  const unlocked: Mark = async (db, siteId) => {
    const { rows } = await sql<{ pathId: number }>`
      with kept as materialized (${keptGenerations(siteId)})
      select r.path_id as "pathId"
      from blob_registry r
      where r.site_id = ${siteId} and r.settled
        and not exists (
          select
          from snapshot_blobs m
          join kept k on k.distribution_id = m.distribution_id
          where m.blob_id = r.blob_id
            and k.generation >= m.from_generation and k.generation < m.to_generation)`.execute(
      db.read.kysely,
    );
    await sleep(300);
    await sql`
      update blob_registry set state = 4, verification_state = 3, attempt = 0
      where site_id = ${siteId} and settled
        and path_id = any(${rows.map((row) => row.pathId)}::bigint[])`.execute(db.read.kysely);
  };

  // A race that was won proves nothing: races are run until one is lost.
  for (let seed = 1; seed <= RACES_MAX; seed += 1)
    if ((await race(t, unlocked, seed)).faults.length > 0) return;
  assert.fail(`${RACES_MAX} races were all won`);
});

test('a deletion that arrives after a new publication finds another version', async (t) => {
  const db = await aDatabase(t);
  await sql`update replication_sites set grace_ms = 0, kept_generations = 1`.execute(
    db.read.kysely,
  );
  const site = new SlowSite(() => 1);
  const { id } = await readSite(db.read, 'fra');
  await claimSite({ database: db, store: site, siteId: id, signal: never }, []);
  for (const path of ['pool/old.deb', 'pool/new.deb'])
    await replicate(db, site, 'stable', await capture(db, 'stable', { [path]: path }));
  await loadPrune(db, 'fra');
  await markUnneeded(db, id);
  const [sent, arrives] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const late = meddling(
    site,
    (call) => call === 'remove',
    () => (sent.resolve(), arrives.promise),
  );
  const deps = {
    database: db,
    log: pino({ level: 'silent' }),
    siteOf: async () => ({ store: late }),
  } as unknown as Deps;

  const pruning = inActivity(() => createPruneBlobs(deps)({ site: 'fra' }));
  await sent.promise;
  await replicate(
    db,
    site,
    'stable',
    await capture(db, 'stable', { 'pool/old.deb': 'pool/old.deb' }),
  );
  arrives.resolve();
  await pruning;

  assert.ok(site.blobs.has('debian/pool/old.deb'));
  const { rows } = await sql<{ etag: string }>`
    select r.etag
    from blob_registry r
    join paths p on p.id = r.path_id
    where p.path = 'pool/old.deb' and r.settled`.execute(db.read.kysely);
  assert.deepEqual(
    rows.map((row) => row.etag),
    [site.blobs.get('debian/pool/old.deb')!.etag],
  );
});

const gone = async (
  container: { getBlockBlobClient(path: string): { exists(): Promise<boolean> } },
  path: string,
) => !(await container.getBlockBlobClient(`debian/${path}`).exists());
const pathOf = (version: string) => `pool/main/h/hello/hello_${version}_amd64.deb`;

/** Three releases served by one site, of which it needs the last. */
async function threeReleases(t: TestContext) {
  const lanes = await startLanes(t);
  const other = aPackage('other', '1.0');
  for (const version of ['1.0', '2.0', '3.0'])
    await lanes.replicate(await lanes.capture([aPackage('hello', version), other]));
  await sql`update replication_sites set grace_ms = 0, kept_generations = 1`.execute(
    lanes.database.read.kysely,
  );
  const { planPrune, pruneCatalog } = lanes.activities();
  await inActivity(() => planPrune({ site: 'fra' }));
  return { lanes, finish: () => inActivity(() => pruneCatalog({ site: 'fra' })) };
}

/** S and H are read first, and R is deleted: so the last of these deletes a blob. */
const KILLED_CALLS = 5;

test('a prune killed before or after any request is finished by the next run', async (t) => {
  const { lanes, finish } = await threeReleases(t);
  const rows = async () =>
    (
      await sql<{ count: number }>`select count(*) from blob_registry where state = 4`.execute(
        lanes.database.read.kysely,
      )
    ).rows[0]!.count;
  const marked = await rows();
  assert.ok(marked >= 4, `${marked} marked`);

  for (let kills = 0; kills < 4 * marked; kills += 1) {
    const victim = mortal(
      { store: lanes.site().store, database: lanes.database },
      { at: 1 + (kills % KILLED_CALLS), when: kills % 4 < 2 ? 'after' : 'before' },
    );
    const doomed = lanes.activities({
      stores: new Map([['fra', victim.store]]),
      database: victim.database,
    });
    await assert.rejects(
      inActivity(() => doomed.pruneBlobs({ site: 'fra' })),
      Killed,
    );
  }
  assert.equal(await rows(), marked, 'nothing was booked');

  const { more, row } = await inActivity(() => lanes.activities().pruneBlobs({ site: 'fra' }));
  await finish();

  assert.deepEqual([more, row.blobs, await rows()], [false, marked, 0]);
  assert.deepEqual(
    await Promise.all(
      ['1.0', '2.0', '3.0'].map((version) => gone(lanes.site().container, pathOf(version))),
    ),
    [true, true, false],
  );
});

test('bytes that another program put there meanwhile stay, on record', async (t) => {
  const { lanes } = await threeReleases(t);
  const { container, store } = lanes.site();
  const foreign = meddling(
    store,
    (call, path) => call === 'remove' && path.endsWith(pathOf('1.0')),
    () => container.getBlockBlobClient(`debian/${pathOf('1.0')}`).upload('other', 5),
  );

  await inActivity(() =>
    lanes.activities({ stores: new Map([['fra', foreign]]) }).pruneBlobs({ site: 'fra' }),
  );

  assert.equal(await gone(container, pathOf('1.0')), false);
  assert.equal(await gone(container, pathOf('2.0')), true);
  const { rows } = await sql<{
    code: string;
    path: string;
  }>`select code, path from incidents`.execute(lanes.database.read.kysely);
  assert.deepEqual(rows, [{ code: 'FOREIGN_WRITE', path: pathOf('1.0') }]);
});

test('a leased blob, which the site keeps, holds up no other and is on record', async (t) => {
  const { lanes } = await threeReleases(t);
  const { container } = lanes.site();
  await container
    .getBlobClient(`debian/${pathOf('1.0')}`)
    .getBlobLeaseClient()
    .acquireLease(-1);

  const { more } = await inActivity(() => lanes.activities().pruneBlobs({ site: 'fra' }));

  assert.equal(more, false);
  assert.equal(await gone(container, pathOf('1.0')), false);
  assert.equal(await gone(container, pathOf('2.0')), true);
  const { rows } = await sql<{ code: string }>`select code from incidents`.execute(
    lanes.database.read.kysely,
  );
  assert.deepEqual(rows, [{ code: 'BLOB_HELD' }]);
});

test('a slice whose worker stops ends well, and the next one goes on', async (t) => {
  const { lanes } = await threeReleases(t);
  const stop = new AbortController();
  const stopping = meddling(
    lanes.site().store,
    (call) => call === 'remove',
    async () => stop.abort(new CancelledFailure('WORKER_SHUTDOWN')),
  );
  const stopped = lanes.activities({ stores: new Map([['fra', stopping]]) });

  assert.equal(
    (await inActivity(() => stopped.pruneBlobs({ site: 'fra' }), { signal: stop.signal })).more,
    true,
  );
  assert.equal(
    (await inActivity(() => lanes.activities().pruneBlobs({ site: 'fra' }))).more,
    false,
  );

  for (const version of ['1.0', '2.0'])
    assert.equal(await gone(lanes.site().container, pathOf(version)), true);
});

test('a blob that was written and never booked is found, and deleted under its ETag', async (t) => {
  const { lanes } = await threeReleases(t);
  await sql`update blob_registry set etag = null where state = 4`.execute(
    lanes.database.read.kysely,
  );

  await inActivity(() => lanes.activities().pruneBlobs({ site: 'fra' }));

  assert.equal(await gone(lanes.site().container, pathOf('1.0')), true);
});

test('a cut catalog is refused, and nothing is marked', async (t) => {
  const { lanes } = await threeReleases(t);
  await sql`update blob_registry set state = 2, verification_state = 2 where state = 4`.execute(
    lanes.database.read.kysely,
  );
  await sql`delete from snapshot_blobs`.execute(lanes.database.read.kysely);

  const refused = inActivity(() => lanes.activities().planPrune({ site: 'fra' }));

  await assert.rejects(refused, (error) => code(error) === 'PRUNE_REFUSED');
});
