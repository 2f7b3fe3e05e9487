/** `debgeo prune` as an operator runs it: a process of its own. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { sql } from 'kysely';

import type { PruneStatus } from '../../src/database/prune/prunes.ts';
import { askPrune } from '../../src/temporal/updates.ts';
import { debgeo } from '../support/debgeo.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { aPackage, aWorld } from '../support/world.ts';

test('prune', async (t) => {
  const world = await aWorld(t, { sites: ['fra'] });
  for (const version of ['1.0', '2.0']) {
    await world.release([aPackage('hello', version)]);
    await world.update();
  }
  const before = await world.site('fra').contents();

  await t.test('deletes nothing within the grace', async () => {
    const result = await debgeo(world, 'prune --json');

    assert.equal(result.exitCode, 0, result.stderr);
    const [fra] = JSON.parse(result.stdout) as PruneStatus[];
    assert.deepEqual([fra!.site, fra!.blobs, fra!.code], ['fra', 0, null]);
    assert.deepEqual(await world.site('fra').contents(), before);
  });

  await world.tune({ graceMs: 0, keptGenerations: 1 });
  let wouldGo = 0;

  await t.test('--dry-run says what would be deleted and changes nothing', async () => {
    const result = await debgeo(world, 'prune --dry-run --json');

    assert.equal(result.exitCode, 0, result.stderr);
    const [fra] = JSON.parse(result.stdout) as {
      site: string;
      blobs: number;
      bytes: number;
      oldestKept: object;
    }[];
    wouldGo = fra!.blobs;
    assert.ok(fra!.blobs > 0 && fra!.bytes > 0);
    assert.deepEqual([fra!.site, fra!.oldestKept], ['fra', { bookworm: 2 }]);
    assert.deepEqual(await world.site('fra').contents(), before);
    const marked = await sql`select from blob_registry where state = 4`.execute(
      world.database.read.kysely,
    );
    assert.equal(marked.rows.length, 0);
  });

  await t.test('a catalog that was cut is refused with 3, also by --dry-run', async () => {
    await sql`update distribution_snapshots set blob_count = blob_count + 1`.execute(
      world.database.read.kysely,
    );

    for (const command of ['prune --site fra', 'prune --dry-run']) {
      const result = await debgeo(world, command);
      assert.equal(result.exitCode, 3, result.stderr);
      assert.match(result.stderr, /\bPRUNE_REFUSED: /);
    }
    assert.deepEqual(await world.site('fra').contents(), before);
    await sql`update distribution_snapshots set blob_count = blob_count - 1`.execute(
      world.database.read.kysely,
    );
  });

  await t.test('a site that cannot be reached ends it with 4, and status says so', async () => {
    await world.site('fra').proxy.refuse(true);

    const result = await debgeo(world, 'prune');

    assert.equal(result.exitCode, 4, result.stderr);
    assert.match(
      (await debgeo(world, 'status')).stdout,
      /^ +fra +failed: SITE_UNREACHABLE.*\n +fra: SITE_UNREACHABLE: (.|\n)*? do: /m,
    );
    assert.deepEqual(await world.site('fra').contents(), before);
    await world.site('fra').proxy.refuse(false);
  });

  await t.test('deletes what --dry-run said, and status shows it', async () => {
    const result = await debgeo(world, 'prune --site fra');

    assert.equal(result.exitCode, 0, result.stderr);
    const contents = await world.site('fra').contents();
    assert.equal(blobsOf(contents).length, blobsOf(before).length - wouldGo);
    assert.equal(contents.size, before.size - wouldGo - 1, 'and the record of the release');
    assert.match(
      (await debgeo(world, 'status')).stdout,
      new RegExp(`^ +fra +pruned .*: ${wouldGo} blobs`, 'm'),
    );
  });

  await t.test('a name that does not exist is a usage error', async () => {
    assert.equal((await debgeo(world, 'prune --site nowhere')).exitCode, 2);
  });

  await t.test('without a worker it is queued, and says so', async () => {
    await world.stopWorker();

    const asked = world.withTemporal((client) => askPrune(client, 'fra', { workerMs: 500 }));

    await assert.rejects(asked, refusesWith('NO_WORKER'));
  });
});

/** Beside the objects of debgeo itself. */
const blobsOf = (contents: ReadonlyMap<string, string>): string[] =>
  [...contents.keys()].filter((name) => !name.startsWith('.debgeo/'));
