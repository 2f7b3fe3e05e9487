import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { sql } from 'kysely';

import { readDistribution } from '../../../src/database/catalog/distributions.ts';
import {
  missingContents,
  openIndexContent,
  storeIndexContent,
} from '../../../src/database/catalog/index-contents.ts';
import { saveResigned, saveSnapshot } from '../../../src/database/catalog/save-snapshot.ts';
import {
  canonicalPathsOf,
  publishedNamesOf,
  readSnapshot,
} from '../../../src/database/catalog/snapshots.ts';
import { OPEN } from '../../../src/database/catalog/write-members.ts';
import { loadRoster } from '../../../src/database/replications/roster.ts';
import { all, run } from '../../../src/database/sql.ts';
import { readStatus } from '../../../src/database/views/status.ts';
import type { Blob } from '../../../src/domain/blob.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import { sha256Of, type Sha256 } from '../../../src/domain/sha256.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import {
  aBlob,
  aDistribution,
  aSnapshot,
  DISTRIBUTION,
  NO_VALIDATOR,
  type Fixture,
} from '../distribution-fixture.ts';

const fixtures: Fixture[] = [];
after(() => Promise.all(fixtures.map((fixture) => fixture.close())));

async function fixtureWith(sites: readonly string[] = []): Promise<Fixture> {
  const fixture = await aDistribution({ sites });
  fixtures.push(fixture);
  return fixture;
}

const HELLO = aBlob('pool/main/h/hello/hello_1_amd64.deb');
const HELLO_2 = aBlob('pool/main/h/hello/hello_2_amd64.deb');
const LIBC = aBlob('pool/main/g/glibc/libc6_2_amd64.deb');

async function ranges({ db }: Fixture): Promise<string[]> {
  const rows = await all(
    db.read,
    sql<{ path: string; range: string }>`
      select p.path, from_generation || '-' || to_generation as range
      from snapshot_blobs m
      join blobs b on b.id = m.blob_id
      join paths p on p.id = b.path_id
      where p.path like 'pool/%'
      order by p.path, from_generation`,
  );
  return rows.map(({ path, range }) => `${path.split('/').at(-1)} ${range.replace(`${OPEN}`, '')}`);
}

test('a generation opens the ranges of what came and closes those of what left', async () => {
  const fixture = await fixtureWith();
  const save = (blobs: readonly Blob[], body: string) =>
    saveSnapshot(fixture.db, fixture.distributionId, aSnapshot(blobs, body), NO_VALIDATOR);

  const generations = [
    await save([HELLO, LIBC], 'one'),
    await save([HELLO_2, LIBC], 'two'),
    await save([HELLO, LIBC], 'three'),
  ];

  assert.deepEqual(
    generations.map(({ generation }) => generation),
    [1, 2, 3],
  );
  assert.deepEqual(await ranges(fixture), [
    'libc6_2_amd64.deb 1-',
    'hello_1_amd64.deb 1-2',
    'hello_1_amd64.deb 3-',
    'hello_2_amd64.deb 2-3',
  ]);
});

test('the same snapshot twice, also side by side, is one generation', async () => {
  const fixture = await fixtureWith(['fra']);
  const snapshot = aSnapshot([HELLO, LIBC], 'one');

  const saved = await Promise.all(
    [1, 2, 3].map(() => saveSnapshot(fixture.db, fixture.distributionId, snapshot, NO_VALIDATOR)),
  );

  assert.deepEqual(
    saved.map(({ generation }) => generation),
    [1, 1, 1],
  );
  const events = await all(
    fixture.db.read,
    sql`select from distribution_events where what = 'captured'`,
  );
  assert.equal(events.length, 1);
});

test('an archive may correct a wrong size: the same member, the newest size', async () => {
  const fixture = await fixtureWith();
  await saveSnapshot(
    fixture.db,
    fixture.distributionId,
    aSnapshot([HELLO, LIBC], 'one'),
    NO_VALIDATOR,
  );
  const before = await ranges(fixture);
  const corrected = aSnapshot([{ ...HELLO, size: HELLO.size + 1 }, LIBC], 'two');

  const { generation } = await saveSnapshot(
    fixture.db,
    fixture.distributionId,
    corrected,
    NO_VALIDATOR,
  );

  assert.equal(generation, 2);
  assert.deepEqual(await ranges(fixture), before);
  const rows = await all(
    fixture.db.read,
    sql<{ size: number }>`
      select size
      from blobs b
      join paths p on p.id = b.path_id
      where p.path = ${HELLO.path}`,
  );
  assert.deepEqual(rows, [{ size: HELLO.size + 1 }]);
});

test('the same Release set with another selection is a new generation', async () => {
  const fixture = await fixtureWith();
  const snapshot = aSnapshot([HELLO, LIBC], 'one');
  await saveSnapshot(fixture.db, fixture.distributionId, snapshot, NO_VALIDATOR);

  const { generation } = await saveSnapshot(
    fixture.db,
    fixture.distributionId,
    { ...snapshot, absent: [] },
    NO_VALIDATOR,
  );

  assert.equal(generation, 2);
});

test('signed again with the same body: a new generation, its member ranges unchanged', async () => {
  const fixture = await fixtureWith(['fra']);
  await saveSnapshot(
    fixture.db,
    fixture.distributionId,
    aSnapshot([HELLO, LIBC], 'one'),
    NO_VALIDATOR,
  );
  const before = await ranges(fixture);
  const resigned = aSnapshot([], 'one', 'signed again');

  const { generation } = await saveResigned(
    fixture.db,
    fixture.distributionId,
    1,
    resigned,
    NO_VALIDATOR,
  );

  assert.equal(generation, 2);
  assert.deepEqual(await ranges(fixture), before);
  const [first, second] = [
    await readSnapshot(fixture.db.read, fixture.distributionId, 1),
    await readSnapshot(fixture.db.read, fixture.distributionId, 2),
  ];
  assert.equal(first!.bodySha256, second!.bodySha256);
  assert.notDeepEqual(first!.releaseSet, second!.releaseSet);
  assert.equal((await loadRoster(fixture.db, DISTRIBUTION)).replications[0]!.target, 2);
  await assert.rejects(
    saveResigned(fixture.db, fixture.distributionId, 1, resigned, NO_VALIDATOR),
    refusesWith('ARCHIVE_CHANGING'),
  );
});

test('no members, or a by-hash path with two digests: refused, nothing is saved', async () => {
  const fixture = await fixtureWith();
  const save = (blobs: readonly Blob[], indices = aSnapshot(blobs, 'one').indices) =>
    saveSnapshot(
      fixture.db,
      fixture.distributionId,
      { ...aSnapshot(blobs, 'one'), indices },
      NO_VALIDATOR,
    );

  await assert.rejects(save([], []), refusesWith('SNAPSHOT_EMPTY'));
  const [index] = aSnapshot([HELLO], 'one').indices;
  await assert.rejects(
    save([HELLO], [index!, { ...index!, sha256: HELLO.sha256 }]),
    refusesWith('INDEX_CONTRADICTION'),
  );

  assert.equal((await readDistribution(fixture.db.read, DISTRIBUTION))!.latestGeneration, 0);
});

test('63,000 pool files are saved within seconds, a change of 1 % much faster', async () => {
  const fixture = await fixtureWith(['fra']);
  const release = (changed: number) =>
    Array.from({ length: 63_000 }, (_, i) => {
      const version = i < changed ? '2' : '1';
      return aBlob(`pool/main/p/package-${i}/package-${i}_${version}_amd64.deb`, `${i} ${version}`);
    });
  const [first, delta] = [aSnapshot(release(0), 'one'), aSnapshot(release(630), 'two')];

  const started = performance.now();
  await saveSnapshot(fixture.db, fixture.distributionId, first, NO_VALIDATOR);
  const saved = performance.now();
  await saveSnapshot(fixture.db, fixture.distributionId, delta, NO_VALIDATOR);
  const changed = performance.now();

  // Generous for a busy machine of two cores; row by row it is minutes.
  assert.ok(saved - started < 30_000, `${saved - started} ms`);
  assert.ok(changed - saved < 10_000, `${changed - saved} ms`);
  const rows = await all(
    fixture.db.read,
    sql<{ count: number }>`select count(*) from snapshot_blobs`,
  );
  assert.equal(rows[0]!.count, 63_000 + 1 + 630 + 1);
});

test('published names are the indices and the Release set, what is absent with null', async () => {
  const fixture = await fixtureWith();
  const snapshot = aSnapshot([HELLO], 'one');
  await saveSnapshot(fixture.db, fixture.distributionId, snapshot, NO_VALIDATOR);

  const names = await publishedNamesOf(fixture.db.read, fixture.distributionId, 1, 'dists/stable');

  const { inRelease, release } = snapshot.releaseSet;
  assert.deepEqual(
    names.toSorted((a, b) => a.path.localeCompare(b.path)),
    [
      { path: 'dists/stable/InRelease', sha256: sha256Of(inRelease!), size: inRelease!.length },
      { path: 'dists/stable/main/binary-amd64/Packages', sha256: null, size: 0 },
      {
        path: snapshot.indices[0]!.path,
        sha256: snapshot.indices[0]!.sha256,
        size: snapshot.indices[0]!.size,
      },
      { path: 'dists/stable/Release', sha256: sha256Of(release!), size: release!.length },
      { path: 'dists/stable/Release.gpg', sha256: null, size: 0 },
    ],
  );
  assert.deepEqual(
    await canonicalPathsOf(fixture.db.read, fixture.distributionId, snapshot.indices[0]!.sha256),
    [snapshot.indices[0]!.path],
  );
});

async function* pieces(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

test('index bytes are kept only when right, and come back as they were', async () => {
  const { db } = await fixtureWith();
  const content = Buffer.alloc(LIMITS.chunkBytes * 2 + 17, 'abc');
  const [sha256, empty] = [sha256Of(content), sha256Of(Buffer.alloc(0))];
  const [head, tail] = [content.subarray(0, 5), content.subarray(5)];

  for (const wrong of [
    pieces(head),
    pieces(content, head),
    pieces(Buffer.from(content).fill('x', 0, 1)),
  ])
    await assert.rejects(
      storeIndexContent(db, { size: content.length, sha256 }, wrong),
      refusesWith('INDEX_MISMATCH'),
    );
  const otherMd5 = { size: content.length, sha256, hashes: { MD5Sum: '0'.repeat(32) } };
  await assert.rejects(
    storeIndexContent(db, otherMd5, pieces(content)),
    refusesWith('INDEX_MISMATCH'),
  );
  assert.deepEqual(await missingContents(db.read, [sha256, empty]), new Set([sha256, empty]));
  await Promise.all(
    [1, 2].map(() => storeIndexContent(db, { size: content.length, sha256 }, pieces(head, tail))),
  );
  await storeIndexContent(db, { size: 0, sha256: empty }, pieces());

  assert.deepEqual(await missingContents(db.read, [sha256, empty]), new Set());
  assert.ok(
    Buffer.concat(await Array.fromAsync((await openIndexContent(db, sha256))!)).equals(content),
  );
  assert.equal(
    Buffer.concat(await Array.fromAsync((await openIndexContent(db, empty))!)).length,
    0,
  );
  assert.equal(await openIndexContent(db, 'f'.repeat(64) as Sha256), null);
});

test('status counts what a site has of the generation that it serves', async () => {
  const fixture = await fixtureWith(['fra', 'sin']);
  const { db } = fixture;
  await saveSnapshot(db, fixture.distributionId, aSnapshot([HELLO, LIBC], 'one'), NO_VALIDATOR);
  await run(
    db.read,
    sql`
      update distribution_replications
      set served_generation = 1
      where site_id = (select id from replication_sites where name = 'fra')`,
  );
  await run(
    db.read,
    sql`
      insert into blob_registry (site_id, path_id, blob_id, state, verification_state)
      select s.id, b.path_id, b.id, 2, case when p.path like '%hello%' then 2 else 0 end
      from replication_sites s, blobs b
      join paths p on p.id = b.path_id
      where s.name = 'fra'
        and p.path like 'pool/%'`,
  );

  const [status] = await readStatus(db, DISTRIBUTION);

  assert.deepEqual(
    status!.sites.map(({ site, served, target, members, synced, verified, ...row }) => [
      site,
      served,
      target,
      members,
      synced,
      verified,
      row.class,
    ]),
    [
      ['fra', 1, 1, 3, 2, 1, 'untorn'],
      ['sin', 0, 1, 0, 0, 0, null],
    ],
  );
  assert.equal(status!.generation, 1);
  assert.deepEqual(await readStatus(db, 'unknown'), []);
});
