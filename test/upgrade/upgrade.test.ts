/**
 * An installation of a released version is upgraded: its tables are migrated, its running workflows
 * are taken up by today's, and nothing that its sites have is copied again.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import { Context } from '@temporalio/activity';
import { Worker } from '@temporalio/worker';
import { sql } from 'kysely';

import type { Activities } from '../../activities/index.ts';
import { assertMigrated, migrate } from '../../src/database/server/migrate.ts';
import { all } from '../../src/database/sql.ts';
import { DATA_CONVERTER } from '../../src/temporal/connection.ts';
import { describeDistribution } from '../../src/temporal/describe.ts';
import type { SeenRequest } from '../support/fault-proxy.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { workflowBundle } from '../support/servers.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, World, type WorldOptions } from '../support/world.ts';
import { bundleReleased, readReleased, restoreReleased } from './released.ts';

const VERSION = '3edb40e';

/** As record.ts released it. */
const pkg = (name: string, version: string) =>
  aPackage(name, version, Buffer.alloc(2_000, `${name} ${version} `));

/** Lets no blob reach fra until its worker stops: so the run of before is in the middle. */
function holding(reached: () => void): (real: Activities) => Activities {
  return (real) => ({
    ...real,
    syncBlobs: async (input) => {
      if (input.site !== 'fra') return real.syncBlobs(input);
      reached();
      const heartbeat = setInterval(() => Context.current().heartbeat(), 500);
      return Context.current().cancelled.finally(() => clearInterval(heartbeat));
    },
  });
}

async function upgraded(t: TestContext) {
  const released = await readReleased(VERSION);
  const stage = await aWorld(t, { worker: 'none' });
  const { database, databaseUrl } = await restoreReleased(released, stage);
  stage.beforeStop(() => database.close());
  await assert.rejects(assertMigrated(database), refusesWith('SCHEMA_OUTDATED'));
  assert.ok((await migrate(database)).length > 0);
  const worldOf = (options: WorldOptions): World => {
    const { key, archiveServer, archives, sites, namespace, folder, temporalAddress } = stage;
    const parts = { key, archiveServer, archives, sites, namespace, folder, temporalAddress };
    const stops: (() => Promise<unknown>)[] = [];
    stage.beforeStop(async () => {
      for (const stop of stops) await stop();
    });
    return new World({ ...parts, database, databaseUrl }, options, stops);
  };
  return { released, stage, worldOf };
}

/** Writes of what a site had before; published names are written with each release. */
const again = (requests: readonly SeenRequest[], had: object): string[] =>
  requests
    .filter(({ method, query }) => method === 'PUT' && !query.includes('comp=metadata'))
    .map(({ path }) => path.split('/').slice(3).join('/'))
    .filter((path) => path in had && (path.includes('/pool/') || path.includes('/by-hash/')));

test(`the histories of ${VERSION} replay`, async () => {
  const { histories } = await readReleased(VERSION);
  const replayed = Worker.runReplayHistories(
    { workflowBundle: { codePath: await workflowBundle() }, dataConverter: DATA_CONVERTER },
    Object.entries(histories).map(([workflowId, history]) => ({ workflowId, history })),
  );
  let count = 0;
  for await (const { workflowId, error } of replayed) {
    assert.equal(error, undefined, workflowId);
    count += 1;
  }
  assert.equal(count, 3);
});

test(`an installation of ${VERSION} goes on`, { timeout: 240_000 }, async (t) => {
  const { released, stage, worldOf } = await upgraded(t);
  const reached = Promise.withResolvers<void>();
  const before = worldOf({
    codePath: await bundleReleased(t, VERSION),
    activities: holding(reached.resolve),
  });
  await before.release([pkg('hello', '2.0'), pkg('tool', '1.0'), pkg('new', '1.0')]);
  await before.startWorker();
  await reached.promise;
  const describe = () => stage.withTemporal((client) => describeDistribution(client, before.suite));
  const run = await describe();
  await before.stopWorker();

  const now = worldOf({});
  await now.startWorker();
  await now.until(
    ({ sites }) => sites.every(({ served, state }) => served === 3 && state === 'synced'),
    'what the old run was about is done',
  );
  await now.release([pkg('hello', '3.0'), pkg('tool', '1.0')]);
  await now.update();

  assert.deepEqual(
    await describe().then((found) => [found?.runId, found?.status]),
    [run?.runId, 'RUNNING'],
    'the run of the old version goes on',
  );
  for (const name of ['fra', 'sin']) {
    const requests = await now.site(name).proxy.requests();
    assert.deepEqual(again(requests, released.blobs[name]!), [], `copied again at ${name}`);
    const added = { 'debian/pool/main/n/new/new_1.0_amd64.deb': '' };
    assert.equal(again(requests, added).length, 1, 'what is new is copied once');
    await assertWhole(now, name);
  }
  const { sites, status } = await now.status();
  assert.equal(status, 'success');
  assert.deepEqual(
    sites.map(({ retryCount }) => retryCount),
    [0, 0],
  );
  const codes = await all(now.database.read, sql<{ code: string }>`select code from incidents`);
  const recorded = released.tables['incidents'] as readonly { code: string }[];
  assert.equal(codes.length, recorded.length, 'nothing failed since');
});

test('it would be seen if what a site has were copied again', async () => {
  const put: SeenRequest = {
    method: 'PUT',
    path: '/fra/w-1/debian/pool/main/t/tool/tool_1.0_amd64.deb',
    query: '',
    done: 201,
    status: 201,
    fault: null,
  };
  const { blobs } = await readReleased(VERSION);

  assert.deepEqual(again([put], blobs['fra']!), ['debian/pool/main/t/tool/tool_1.0_amd64.deb']);
});
