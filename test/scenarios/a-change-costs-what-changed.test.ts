/**
 * What a change costs is counted at the archive, at the site and in the registry, and does not
 * depend on how much there is that did not change.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { WorkflowHandle } from '@temporalio/client';
import { sql } from 'kysely';

import { all, run } from '../../src/database/sql.ts';
import { startDistribution } from '../../src/temporal/starts.ts';
import { workflowId } from '../../workflows/messages.ts';
import { startGate, type Gate } from '../support/gate.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const CHANGED = 3;
/** More than what the probe samples of a pool. */
const SIZES = [30, 240];
const POLL_MS = 400;
const POLLS = 3;

const packagesOf = (count: number, changed: number) =>
  Array.from({ length: count }, (_, index) =>
    aPackage(`package-${index}`, index < changed ? '2.0' : '1.0', Buffer.alloc(300, index)),
  );

/** Which version of each row stands there: what was written since has another one. */
async function registryOf(world: World): Promise<Set<string>> {
  const rows = await all(
    world.database.read,
    sql<{ version: string }>`
      select concat_ws(' ', site_id, path_id, xmin, ctid) as version
      from blob_registry`,
  );
  return new Set(rows.map((row) => row.version));
}

const askedOfArchive = (world: World): Map<string, number> => new Map(world.archiveServer.requests);

const askedSince = (world: World, before: ReadonlyMap<string, number>): string[] =>
  [...world.archiveServer.requests]
    .flatMap(([path, count]) => Array<string>(count - (before.get(path) ?? 0)).fill(path))
    .sort();

const kindOf = (path: string): string =>
  path.includes('/.debgeo/')
    ? '.debgeo'
    : path.includes('/pool/')
      ? 'pool'
      : path.includes('/by-hash/')
        ? 'by-hash'
        : 'published names';

/** By method and place: `PUT pool 3`. */
async function askedOfSite(world: World): Promise<string[]> {
  const counts = new Map<string, number>();
  for (const { method, path } of await world.site('fra').proxy.requests()) {
    const kind = `${method} ${kindOf(path)}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, count]) => `${kind} ${count}`).sort();
}

async function costOfChange(world: World, size: number) {
  await world.release(packagesOf(size, 0));
  await world.update();
  const [archive, registry] = [askedOfArchive(world), await registryOf(world)];
  await world.site('fra').proxy.clear();

  await world.release(packagesOf(size, CHANGED));
  await world.update();
  const asked = askedSince(world, archive);
  return {
    'rows of the registry': (await registryOf(world)).difference(registry).size,
    'requests at the site': await askedOfSite(world),
    'pool files read': asked.filter((path) => path.includes('/pool/')).length,
    'requests at the archive': asked.length,
  };
}

async function sameForAll(t: TestContext, planted?: Planted): Promise<void> {
  const costs = [];
  for (const size of SIZES) {
    const world = await aWorld(t, {
      sites: ['fra'],
      planted,
    });
    costs.push(await costOfChange(world, size));
  }
  assert.equal(costs[0]!['pool files read'], CHANGED);
  assert.ok(
    costs[0]!['requests at the site'].includes(`PUT pool ${CHANGED}`),
    JSON.stringify(costs[0]),
  );
  const anchors = costs[0]!['requests at the site'].filter((kind) => kind.includes('.debgeo'));
  assert.deepEqual(anchors, ['PUT .debgeo 2']);
  for (const cost of costs) assert.deepEqual(cost, costs[0]);
}

/** What one lane asks of PostgreSQL for a small change; the look is not counted. */
const STATEMENTS_MAX = 80;
/** The events of the whole change, the look too, divided by its lanes. */
const EVENTS_MAX = 34;

async function fewStatements(t: TestContext, planted?: Planted): Promise<void> {
  let gate: Gate | undefined;
  let ofLook = 0;
  const sites = ['fra', 'sin'];
  const world = await aWorld(t, {
    sites,
    databaseUrl: async (straight) => (gate = await startGate(straight)).url,
    activities: (real, planting) => ({
      ...(planted?.(real, planting) ?? real),
      captureSnapshot: async (input) => {
        const before = gate!.statements.length;
        const answer = await real.captureSnapshot(input);
        ofLook = gate!.statements.length - before;
        return answer;
      },
    }),
  });
  t.after(() => gate!.close());
  const costOf = async (changed: number) => {
    await world.release(packagesOf(SIZES[0]!, changed));
    const events = await eventsOf(world);
    gate!.statements.length = 0;
    await world.update();
    await sleep(SETTLED_MS);
    return {
      statements: (gate!.statements.length - ofLook) / sites.length,
      events: ((await eventsOf(world)) - events) / sites.length,
    };
  };
  // As its worker does at some time.
  await world.withTemporal((client) => startDistribution(client, world.suite));
  await costOf(0);
  // A worker reconciles meanwhile, once a minute: the least of three counts.
  const costs = [await costOf(CHANGED), await costOf(2 * CHANGED), await costOf(3 * CHANGED)];
  const statements = Math.min(...costs.map((cost) => cost.statements));
  const events = Math.min(...costs.map((cost) => cost.events));

  t.diagnostic(`${statements} statements a lane, ${ofLook} of the look; ${events} events`);
  assert.ok(statements <= STATEMENTS_MAX, `${statements} statements`);
  assert.ok(events <= EVENTS_MAX, `${events} events`);
}

/** The workflow has done what the last answer of an activity makes it do. */
const SETTLED_MS = 1_500;

/**
 * A change that takes longer than a second, as on a busy machine, is shown while it lasts: a timer
 * that starts and fires, a workflow task, and the search attributes.
 */
const SHOWN = 6;

type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;

const shownOf = (events: NonNullable<History['events']>): number => {
  const timers = events.filter(({ userMetadata }) =>
    Buffer.from(userMetadata?.summary?.data ?? []).includes('show what changes'),
  );
  const ids = new Set(timers.map((event) => event.timerStartedEventAttributes?.timerId));
  return events.filter(
    (event) => event.timerFiredEventAttributes && ids.has(event.timerFiredEventAttributes.timerId),
  ).length;
};

const eventsOf = (world: World): Promise<number> =>
  world.withTemporal(async (client) => {
    const handle = client.workflow.getHandle(workflowId(world.suite));
    const events = (await handle.fetchHistory()).events ?? [];
    return events.length - SHOWN * shownOf(events);
  });

async function oneRequest(t: TestContext, planted?: Planted): Promise<void> {
  const world = await aWorld(t, {
    sites: ['fra'],
    planted,
  });
  await world.tune({ pollMs: POLL_MS });
  await world.release(packagesOf(SIZES[0]!, 0));
  await world.update();
  // The first look after a change may ask for the files beside InRelease once more.
  const polls = (): number => world.archiveServer.requests.get('/dists/bookworm/InRelease') ?? 0;
  await world.until(() => polls() >= 3, 'it polls');
  const [archive, registry, seen] = [askedOfArchive(world), await registryOf(world), polls()];
  await world.site('fra').proxy.clear();

  await world.until(() => polls() >= seen + POLLS, 'polls find nothing');
  const asked = askedSince(world, archive);
  assert.deepEqual(new Set(asked), new Set(['/dists/bookworm/InRelease']));
  assert.equal((await registryOf(world)).difference(registry).size, 0);
  assert.deepEqual(await askedOfSite(world), []);
}

function mustFail(
  what: string,
  promise: (t: TestContext, planted: Planted) => Promise<void>,
  planted: Planted,
): void {
  test(`its test notices ${what}`, { timeout: 120_000 }, async (t) => {
    await assert.rejects(promise(t, planted), assert.AssertionError);
  });
}

test(
  'a change of three packages costs the same among thirty and among two hundred and forty',
  { timeout: 120_000 },
  (t) => sameForAll(t),
);

test(
  'an archive that did not change costs one request a look, and nothing else',
  { timeout: 120_000 },
  (t) => oneRequest(t),
);

test('a change costs a lane few statements and few events', { timeout: 120_000 }, (t) =>
  fewStatements(t),
);

mustFail('a step that asks the database file by file', fewStatements, (real) => ({
  ...real,
  verifySnapshot: async (input) => {
    for (let file = 0; file < SIZES[0]!; file += 1) await real.loadRoster(input);
    return real.verifySnapshot(input);
  },
}));

mustFail('a plan that writes every row', sameForAll, (real, world) => ({
  ...real,
  syncBlobs: async (input) => {
    const answer = await real.syncBlobs(input);
    await run(world.database.read, sql`update blob_registry set etag = etag`);
    return answer;
  },
}));

mustFail('a look that reads everything again', oneRequest, (real) => ({
  ...real,
  captureSnapshot: (input) => real.captureSnapshot({ ...input, unconditional: true }),
}));
