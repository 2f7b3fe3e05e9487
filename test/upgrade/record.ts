/**
 * Records an installation of the version that is checked out, for `released.ts`:
 *   node --test-global-setup=test/support/global-setup.ts test/upgrade/record.ts VERSION
 *
 * Run by hand, in a checkout of a version when it is released; what it wrote is then committed. In
 * it `fra` serves generation 2 and `sin`, which is away, generation 1.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { gzipSync } from 'node:zlib';

import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { sql } from 'kysely';

import { all } from '../../src/database/sql.ts';
import { aPackage, aWorld, type World } from '../support/world.ts';

const ROOT = join(import.meta.dirname, '../..');
const [version = ''] = process.argv.slice(2);

const pkg = (name: string, of: string) => aPackage(name, of, Buffer.alloc(2_000, `${name} ${of} `));

async function tablesOf({ database: { read } }: World): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const tables = await all(
    read,
    sql<{ name: string }>`
      select table_name as name
      from information_schema.tables
      where table_schema = 'public'
      order by 1`,
  );
  for (const { name } of tables) {
    const [table] = await all(
      read,
      sql<{ rows: unknown }>`
        select coalesce(json_agg(t), '[]') as rows
        from ${sql.table(name)} t`,
    );
    found[name] = table!.rows;
  }
  return found;
}

async function historiesOf(world: World): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  await world.withTemporal(async (client) => {
    for (const id of ['distribution/bookworm', 'site/fra', 'site/sin'])
      found[id] = JSON.parse(historyToJSON(await client.workflow.getHandle(id).fetchHistory()));
  });
  return found;
}

async function blobsOf(world: World, name: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of (await world.site(name).contents()).keys())
    found[path] = (await world.site(name).read(path)).toString('base64');
  return found;
}

test('an installation is recorded', { timeout: 300_000 }, async (t) => {
  assert.match(version, /^[\w.-]+$/, 'say which version this is');
  const world = await aWorld(t);
  await world.release([pkg('hello', '1.0'), pkg('tool', '1.0'), pkg('left', '1.0')]);
  await world.update();
  await world.site('sin').proxy.refuse(true);
  await world.release([pkg('hello', '2.0'), pkg('tool', '1.0')]);
  await world.look();
  await world.until(
    ({ sites: [fra, sin] }) =>
      fra!.served === 2 && fra!.state === 'synced' && sin!.state === 'failed',
    'fra has it, sin fails',
  );
  const histories = await historiesOf(world);
  await world.stopWorker();
  const [revision] = await all(
    world.database.read,
    sql<{ last: number }>`select last_value::int as last from revision`,
  );
  const state = JSON.stringify({
    revision: revision!.last,
    tables: await tablesOf(world),
    blobs: { fra: await blobsOf(world, 'fra'), sin: await blobsOf(world, 'sin') },
    histories,
  })
    .replaceAll(/"identity":"[^"]*"/g, '"identity":"recorder"')
    .replaceAll(ROOT, '/debgeo');

  const folder = join(import.meta.dirname, version);
  await mkdir(folder);
  await writeFile(join(folder, 'state.json.gz'), gzipSync(state, { level: 9 }));
  const source = ['workflows', ...['errors', 'limits', 'replication', 'text'].map(domainFile)];
  execFileSync('tar', ['-C', ROOT, '-czf', join(folder, 'workflows.tar.gz'), ...source]);
});

const domainFile = (name: string): string => `src/domain/${name}.ts`;
