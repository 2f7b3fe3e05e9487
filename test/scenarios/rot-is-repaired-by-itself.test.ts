/** A pass that is due finds what rotted, and lanes and scrub repair it: no operator asks. */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import { run } from '../../src/database/sql.ts';
import { readScrubs } from '../../src/database/views/scrubs.ts';
import { sendSiteChanged } from '../../src/temporal/signals.ts';
import { corrupt } from '../support/corrupt.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const poolOf = (name: string, version: string) =>
  `debian/pool/main/${name[0]}/${name}/${name}_${version}_amd64.deb`;

/** The time of the next pass has come. */
async function passIsDue(world: World, site: string): Promise<void> {
  await run(
    world.database.read,
    sql`
      update scrubs
      set next_at = now(), interval_ms = 4000
      where site_id = (select id from replication_sites where name = ${site})`,
  );
  await world.withTemporal((client) => sendSiteChanged(client, site));
}

async function promise(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, { planted });
  const other = aPackage('other', '1.0');
  for (const version of ['1.0', '2.0']) {
    await world.release([aPackage('hello', version), other]);
    await world.update();
  }
  const sin = world.site('sin');
  const wrong = [poolOf('hello', '2.0'), poolOf('other', '1.0'), poolOf('hello', '1.0')] as const;
  const before = await Promise.all(wrong.map((path) => sin.read(path)));
  await corrupt(sin.container, 'sin', wrong[0], 'bit flip');
  await corrupt(sin.container, 'sin', wrong[1], 'deletion');
  await corrupt(sin.container, 'sin', wrong[2], 'same-length swap');
  await corrupt(sin.container, 'sin', 'debian/dists/bookworm/InRelease', 'bit flip');

  await passIsDue(world, 'sin');

  await world.until(
    ({ incidents, status, sites }) =>
      status === 'success' &&
      incidents.length === 0 &&
      sites.some(({ scrub }) => (scrub?.wrong ?? 0) >= 4 || (scrub?.lastStartedAt ?? 0) > 0),
    'read back and repaired',
  );
  await assertWhole(world, 'sin');
  assert.deepEqual(await Promise.all(wrong.map((path) => sin.read(path))), before);
  const corruptions = await world.incidents('BLOB_CORRUPT');
  assert.deepEqual(
    [...new Set(corruptions.map(({ site, path }) => `${site} debian/${path}`))].sort(),
    [...wrong, 'debian/dists/bookworm/InRelease'].map((path) => `sin ${path}`).sort(),
  );
  const [fra] = await readScrubs(world.database, 'fra');
  assert.equal(fra!.startedAt, null, 'the other site is not due');
}

test('what rots at a site is found and repaired, and nothing else is touched', (t) => promise(t));

test('it would be seen if the scrub read nothing', async (t) => {
  const blind: Planted = (real) => ({
    ...real,
    scrubSlice: async (input) => ({ row: await real.loadScrub(input), rotten: [] }),
  });

  await assert.rejects(promise(t, blind), assert.AssertionError);
});
