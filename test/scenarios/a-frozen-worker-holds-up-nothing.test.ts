/**
 * SIGSTOP of one of two workers: its connection stays open, so that Temporal gives tasks to its
 * long polls, and nothing that it holds is given back. The lane goes on through the other worker,
 * and SIGCONT changes nothing. How long it takes: `npm run bench -- --only frozen-copying,…`.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { all } from '../../src/database/sql.ts';
import { listArchiveQueues, listSiteQueues } from '../../src/database/views/work.ts';
import { describePollers } from '../../src/temporal/describe.ts';
import { QUEUE, workflowId } from '../../workflows/messages.ts';
import type { Rule } from '../support/fault-proxy.ts';
import { startGrpcProxy } from '../support/grpc-proxy.ts';
import { servers } from '../support/servers.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, nudge, type World } from '../support/world.ts';

/** A bound for what hangs, not for what is slow. */
const HANG_MS = 120_000;
const FILES = 300;
/** A server gives a connection up on which nothing was heard for ten seconds. */
const GIVEN_UP_MS = 11_000;

test(
  'one of two workers is frozen, and the other one goes on',
  { concurrency: true },
  async (t) => {
    await Promise.all([
      t.test('wherever it is frozen', { timeout: 3 * HANG_MS }, async (s) => {
        const { world, logLines } = await twoWorkers(s);
        await whileItCopies(s, world, logLines);
        await whileItRests(s, world, 2);
        await betweenTwoNames(s, world, logLines);
        assert.deepEqual(await world.servedGenerations('fra'), [1, 2, 3, 4]);
      }),

      t.test(
        'the witness sees a load balancer that answers for it',
        { timeout: HANG_MS },
        async (s) => {
          const proxy = await startGrpcProxy((await servers()).temporalAddress);
          s.after(() => proxy.close());
          const { world } = await twoWorkers(s, { TEMPORAL_ADDRESS: proxy.address });
          await world.release([aPackage('hello', '1.0')]);
          await world.update();

          await assert.rejects(whileItRests(s, world, 2), { message: /was given to the frozen/ });
        },
      ),
    ]);
  },
);

async function whileItCopies(
  t: TestContext,
  world: World,
  logLines: readonly string[],
): Promise<void> {
  await slowly(world, { method: 'PUT', fault: { kind: 'delay', ms: 200 } });
  await world.release(
    Array.from({ length: FILES }, (_, index) => aPackage(`many-${index}`, '1.0', randomBytes(200))),
  );
  await nudge(world);
  await world.until(({ sites }) => sites[0]!.filesDone > 0, 'a batch is committed');
  const pid = await workerOf(world, 'syncBlobs');
  await freeze(t, world, pid);
  await slowly(world);

  await served(world, 1);

  await thawChangesNothing(world, pid, logLines, 'syncBlobs');
}

/** Temporal gives the next workflow task to the worker that has the workflow in its memory. */
async function whileItRests(t: TestContext, world: World, generation: number): Promise<void> {
  const pid = await lastWorker(world);
  await freeze(t, world, pid);
  const events = (await historyOf(world)).length;
  await sleep(GIVEN_UP_MS);

  await world.release([aPackage('hello', `${generation}.0`)]);
  await nudge(world);
  const going = served(world, generation);
  going.catch(() => undefined); // awaited below
  await assertGivenToOther(world, pid, events);
  await going;

  const starts = (await historyOf(world))
    .slice(events)
    .flatMap(({ activityTaskStartedEventAttributes: started }) => started ?? []);
  const again = starts.filter(({ attempt }) => attempt !== 1);
  assert.deepEqual(again, [], 'an activity was given to the frozen worker');
  thaw(pid);
}

/** Two releases later it comes back, and would write what it was about to write. */
async function betweenTwoNames(
  t: TestContext,
  world: World,
  logLines: readonly string[],
): Promise<void> {
  // one name takes this long, and InRelease is the last one
  const names = '/dists/[^/]+/(Release|main/[^/]+/[^/]+)(\\?|$)';
  await slowly(world, { method: 'PUT', target: names, fault: { kind: 'delay', ms: 2_000 } });
  await world.site('fra').proxy.clear();
  await world.release([aPackage('hello', '3.0')]);
  await nudge(world);
  const isOnItsWay = async (): Promise<boolean> =>
    (await world.site('fra').proxy.requests()).some(({ fault }) => fault === 'delay');
  while (!(await isOnItsWay())) await sleep(20);
  const pid = await workerOf(world, 'publishSnapshot');
  await freeze(t, world, pid);
  await slowly(world);

  await served(world, 3);
  await world.release([aPackage('hello', '4.0')]);
  await nudge(world);
  await served(world, 4);

  await thawChangesNothing(world, pid, logLines, 'publishSnapshot');
  assert.equal(await world.site('fra').aptSees('hello', world.suite), '4.0');
}

/** Two workers that poll every queue, and a site. */
async function twoWorkers(t: TestContext, environment: NodeJS.ProcessEnv = {}) {
  const logLines: string[] = [];
  const world = await aWorld(t, {
    sites: ['fra'],
    worker: 'child',
    environment: { DEBGEO_LOG_LEVEL: 'debug', ...environment },
    logLines,
    settleMs: HANG_MS,
  });
  await world.startWorker();
  const listed = [
    ...(await listSiteQueues(world.database)),
    ...(await listArchiveQueues(world.database)),
  ];
  for (const queue of [QUEUE, ...listed.map((one) => one.queue)])
    await world.withTemporal(async (client) => {
      while ((await describePollers(client, queue)) < 2) await sleep(50);
    });
  return { world, logLines };
}

const slowly = (world: World, ...rules: Rule[]): Promise<void> =>
  world.site('fra').proxy.setRules(rules);

/**
 * Stops the process until the test ends, or thaws it; not inside of a transaction, whose locks
 * would hold up the others until PostgreSQL ends it.
 */
async function freeze(t: TestContext, world: World, pid: number): Promise<void> {
  t.after(() => thaw(pid));
  for (;;) {
    process.kill(pid, 'SIGSTOP');
    while (!isFrozen(pid)) await sleep(5);
    if (!(await isInTransaction(world))) return;
    thaw(pid);
    await sleep(5);
  }
}

async function isInTransaction({ database }: World): Promise<boolean> {
  await sleep(50); // for a statement that is under way
  const found = await all(
    database.read,
    sql`
      select
      from pg_stat_activity
      where datname = current_database()
        and pid <> pg_backend_pid()
        and state <> 'idle'`,
  );
  return found.length > 0;
}

/** The state of a process follows its name, which is in parentheses (proc_pid_stat(5)). */
const isFrozen = (pid: number): boolean => /\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

function thaw(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // the world has ended it
  }
}

async function served(world: World, generation: number): Promise<void> {
  await world.until(
    ({ sites }) => sites[0]!.served === generation && sites[0]!.state === 'synced',
    `generation ${generation}`,
  );
}

/** The process that has begun a step. The SDK calls a worker `PID@HOST`. */
const workerOf = (world: World, step: string): Promise<number> =>
  world.withTemporal(async (client) => {
    const handle = client.workflow.getHandle(workflowId(world.suite));
    for (;;) {
      const { raw } = await handle.describe();
      const found = raw.pendingActivities?.find(({ activityType }) => activityType?.name === step);
      if (found?.lastWorkerIdentity) return Number.parseInt(found.lastWorkerIdentity, 10);
      await sleep(20);
    }
  });

const historyOf = (world: World) =>
  world.withTemporal(async (client) => {
    const { events } = await client.workflow.getHandle(workflowId(world.suite)).fetchHistory();
    return events!;
  });

/** The process that has the workflow in its memory. */
async function lastWorker(world: World): Promise<number> {
  const last = (await historyOf(world)).findLast(
    (event) => event.workflowTaskCompletedEventAttributes,
  );
  return Number.parseInt(last!.workflowTaskCompletedEventAttributes!.identity!, 10);
}

/** Of the first workflow task behind so many events. */
async function assertGivenToOther(world: World, pid: number, events: number): Promise<void> {
  for (;;) {
    const task = (await historyOf(world))
      .slice(events)
      .flatMap(({ workflowTaskStartedEventAttributes: started }) => started ?? [])[0];
    if (task === undefined) {
      await sleep(50);
      continue;
    }
    const isLost = task.identity!.startsWith(`${pid}@`);
    return assert.ok(!isLost, 'a workflow task was given to the frozen worker');
  }
}

/** The process says that an attempt at this step has ended, however. */
async function untilEnded(said: () => string[], pid: number, step: string): Promise<void> {
  const isEnd = (line: string): boolean => {
    const { pid: by, activityType, msg } = JSON.parse(line);
    return by === pid && activityType === step && /^Activity (completed|failed)/.test(msg);
  };
  while (!said().some(isEnd)) await sleep(20);
}

/** What is at the site, in the rows and in Temporal. */
async function everythingOf(world: World) {
  const { ticket: _, ...row } = await world.replication('fra');
  const { read } = world.database;
  const events = await all(read, sql`select * from distribution_events order by id`);
  const incidents = await all(
    read,
    sql<{ site_id: number | null }>`select * from incidents order by id`,
  );
  const activities = (await historyOf(world)).filter(
    (event) => event.activityTaskScheduledEventAttributes,
  ).length;
  return { blobs: await world.site('fra').contents(), row, events, incidents, activities };
}

/** @param step what the worker held when it was frozen */
async function thawChangesNothing(
  world: World,
  pid: number,
  logLines: readonly string[],
  step: string,
): Promise<void> {
  assert.ok(isFrozen(pid), 'the lane went on, and the worker was not frozen any more');
  await assertWhole(world, 'fra');
  const before = await everythingOf(world);
  const ofSite = before.incidents.filter((incident) => incident.site_id !== null);
  assert.deepEqual([before.row.retryCount, ofSite], [0, []]);
  const lines = logLines.length;

  thaw(pid);
  await untilEnded(() => logLines.slice(lines), pid, step);

  assert.deepEqual(await everythingOf(world), before);
  await assertWhole(world, 'fra');
}
