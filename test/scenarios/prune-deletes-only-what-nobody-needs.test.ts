import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import type { Tx } from '../../src/database/orm.ts';
import { one, run } from '../../src/database/sql.ts';
import type { ReleaseContent } from '../../src/made-archive/signed-archive.ts';
import { askPrune } from '../../src/temporal/updates.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, PLANTED_MS, type World } from '../support/world.ts';

/**
 * Every file that a release consists of, apart from the names that the next one replaces, is there.
 */
async function assertThere(
  world: World,
  site: string,
  release: ReleaseContent,
  what: string,
): Promise<void> {
  const contents = await world.site(site).contents();
  const missing = release.files.filter(
    ({ kind, path }) => (kind === 'pool' || kind === 'by-hash') && !contents.has(`debian/${path}`),
  );
  assert.deepEqual(
    missing.map(({ path }) => path),
    [],
    what,
  );
}

async function rowsAt(world: World, site: string): Promise<number> {
  const found = await one(
    world.database.read,
    sql<{ count: number }>`
      select count(*)
      from blob_registry r
      join replication_sites s on s.id = r.site_id
      where s.name = ${site}`,
  );
  return found!.count;
}

/** Books that the site stopped serving this generation two hours ago. */
const replaceTwoHoursAgo = (world: World, site: string, generation: number): Promise<number> =>
  run(
    world.database.read,
    sql`
      update publications p
      set replaced_at = now() - interval '2 hours'
      from replication_sites s
      where s.id = p.site_id
        and s.name = ${site}
        and p.generation = ${generation}
        and p.replaced_at is not null`,
  );

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    suites: ['bookworm', 'bookworm-updates'],
    planted,
    ...(planted && { settleMs: 2 * PLANTED_MS }),
  });
  const [shared, everywhere] = [aPackage('shared', '1.0'), aPackage('everywhere', '1.0')];
  const releases: ReleaseContent[] = [];
  for (const version of ['1.0', '2.0', '3.0']) {
    const dropped = version === '1.0' ? [shared] : [];
    releases.push(
      await world.release([everywhere, aPackage('hello', version), ...dropped], {}, 'bookworm'),
    );
    await world.update('bookworm');
  }
  const updates = await world.release([shared], {}, 'bookworm-updates');
  await world.update('bookworm-updates');
  await world.tune({ graceMs: 3_600_000, keptGenerations: 1 });
  await replaceTwoHoursAgo(world, 'fra', 1);
  const before = await world.site('sin').contents();

  const [fra, sin] = await world.withTemporal((client) =>
    Promise.all([askPrune(client, 'fra'), askPrune(client, 'sin')]),
  );

  assert.deepEqual([fra.outcome, sin.outcome], ['pruned', 'pruned'], JSON.stringify([fra, sin]));
  for (const site of ['fra', 'sin'])
    for (const suite of ['bookworm', 'bookworm-updates']) await assertWhole(world, site, suite);
  await assertThere(world, 'fra', updates, 'what the other suite shares');
  await assertThere(world, 'fra', releases[1]!, 'what is in its grace');
  assert.deepEqual(
    await world.site('sin').contents(),
    before,
    'sin stopped serving the first release a moment ago',
  );

  const contents = await world.site('fra').contents();
  const old = releases[0]!.files
    .filter(({ kind }) => kind === 'pool' || kind === 'by-hash')
    .map(({ path }) => path);
  const kept = new Set(
    [...releases[1]!.files, ...releases[2]!.files, ...updates.files].map(({ path }) => path),
  );
  const left = old.filter((path) => !kept.has(path) && contents.has(`debian/${path}`));
  assert.deepEqual(left, []);
  assert.ok(contents.size < before.size);
  assert.equal(fra.row!.blobs + 1, before.size - contents.size, 'blobs, and the record of 1');
  assert.equal(await rowsAt(world, 'fra'), (await rowsAt(world, 'sin')) - fra.row!.blobs);
  const answer = await fetch(`${world.site('fra').aptUrl}/pool/main/h/hello/hello_1.0_amd64.deb`);
  assert.equal(answer.status, 404);

  // And the way back: a release that names what was deleted is copied again.
  await world.archive('bookworm').write(releases[0]!.files.filter(({ kind }) => kind === 'pool'));
  await world.release([...releases[0]!.packages], {}, 'bookworm');
  await world.update('bookworm');
  await assertWhole(world, 'fra', 'bookworm');
}

test('a prune deletes what no kept snapshot of any suite names, and nothing else', (t) =>
  promise(t));

/** Marks after each plan what that plan must not mark. */
const marking =
  (wrong: (tx: Tx) => Promise<unknown>): Planted =>
  (real, world) => ({
    ...real,
    planPrune: async (input) => {
      const row = await real.planPrune(input);
      await wrong(world.database.read);
      return row;
    },
  });

test('it would be seen if a prune ignored the grace', async (t) => {
  const hasty = marking((tx) =>
    run(
      tx,
      sql`
        update blob_registry r
        set state = 4, verification_state = 3, attempt = 0
        where not exists (
          select from snapshot_blobs m
          where m.blob_id = r.blob_id
            and m.to_generation = 2147483647)`,
    ),
  );

  await assert.rejects(promise(t, hasty), assert.AssertionError);
});

test('it would be seen if a prune ignored the other suite of the archive', async (t) => {
  const narrow = marking((tx) =>
    run(
      tx,
      sql`
        update blob_registry r
        set state = 4, verification_state = 3, attempt = 0
        where not exists (
          select from snapshot_blobs m
          join debian_distributions d on d.id = m.distribution_id
          where m.blob_id = r.blob_id
            and d.name = 'bookworm'
            and m.to_generation > 1)`,
    ),
  );

  await assert.rejects(promise(t, narrow), assert.AssertionError);
});
