/** What `debgeo status` says of parked lanes, open publications and prunes, from rows alone. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { watch } from '../../src/cli/progress.ts';
import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { connectDatabase } from '../../src/database/orm.ts';
import { loadPrune, recordPruneFailure } from '../../src/database/prune/prunes.ts';
import { recordFailure } from '../../src/database/replications/failures.ts';
import { run } from '../../src/database/sql.ts';
import type { LaneProgress } from '../../src/database/views/progress.ts';
import type { DistributionStatus } from '../../src/database/views/status.ts';
import { aDatabase, beginToPublish, capture, serve, settle } from '../database/lanes-fixture.ts';
import { aConfiguration } from '../support/configuration.ts';
import { runDebgeo } from '../support/debgeo.ts';
import { migratedDatabase } from '../support/servers.ts';

const AT = { distribution: 'stable', site: 'fra' };

test('status', async (t) => {
  const databaseUrl = await migratedDatabase();
  const db = await connectDatabase(databaseUrl);
  t.after(() => db.close());
  const sites = ['fra', 'sin'];
  await applyConfiguration(db, aConfiguration({ sites, distributions: ['stable'] }), false);
  await serve(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));
  const status = async (): Promise<string> => {
    const result = await runDebgeo('status', { DATABASE_URL: databaseUrl });
    assert.equal(result.exitCode, 0, result.stderr);
    const lanes = result.stdout.split('\n').filter((line) => !/ do: /.test(line));
    for (const line of lanes) assert.ok(line.length < 120, line);
    return result.stdout;
  };
  const json = async (): Promise<DistributionStatus> => {
    const { stdout } = await runDebgeo('status --json', { DATABASE_URL: databaseUrl });
    return (JSON.parse(stdout) as DistributionStatus[])[0]!;
  };

  await t.test('says nothing of prunes and publications where there are none', async () => {
    assert.doesNotMatch(await status(), /prune|publication|parked/);
    const { prune, publication } = (await json()).sites[0]!;
    assert.deepEqual([prune!.endedAt, prune!.held, publication], [null, 0, null]);
  });

  await t.test('names an open publication, its generation and since when', async () => {
    const lane = await settle(db, 'stable', await capture(db, 'stable', { 'pool/2.deb': '2' }));
    await beginToPublish(db, lane);
    await run(
      db.read,
      sql`update publications set started_at = now() - interval '7 minutes' where generation = 2`,
    );

    assert.match(
      await status(),
      /^ +fra\* .* works on 2\n +.*\n +fra: publication of 2 open since 7 min$/m,
    );
    const { publication } = (await json()).sites[0]!;
    assert.equal(publication!.generation, 2);
    assert.ok(Math.abs(Date.now() - publication!.since - 7 * 60_000) < 30_000);
  });

  await t.test('says of a parked lane when it tries again, and what to do', async () => {
    await recordFailure(db, AT, { code: 'FOREIGN_WRITE', message: 'foreign' }, null);

    const text = await status();
    assert.match(text, /^stable: failed/m);
    assert.match(text, /parked, tries again in (?:5\d|60) min \(failure 1\)$/m);
    assert.match(text, /do: .* debgeo tries again by itself every hour/);
    assert.equal((await json()).status, 'failed');
  });

  await t.test(
    'shows of prunes the last, the next, more to go, what is held, failures',
    async () => {
      await loadPrune(db, 'fra');
      await run(
        db.read,
        sql`
        update prunes
        set started_at = now(), ended_at = now() - interval '5 minutes', blobs = 3, bytes = 2000,
          more = true, next_at = now() + interval '55 minutes'`,
      );
      await run(
        db.read,
        sql`
        update blob_registry r
        set state = 4, verification_state = 3, refused_at = now()
        from paths p
        where p.id = r.path_id
          and p.path = 'pool/1.deb'`,
      );
      assert.match(
        await status(),
        /^prune\n +fra +pruned 5 min ago: 3 blobs, .*deleted; more to delete, next in 5\d min$/m,
      );
      assert.match(await status(), /^ +fra: 1 file is held by a policy, legal hold or lease/m);
      const { prune } = (await json()).sites[0]!;
      assert.deepEqual([prune!.blobs, prune!.more, prune!.held, prune!.code], [3, true, 1, null]);

      await recordPruneFailure(db, 'fra', { code: 'SITE_DENIED', message: 'no' }, null);
      const failed = /^ +fra +failed: SITE_DENIED, tries again in (?:1 h|5\d min|60 min)/m;
      assert.match(await status(), failed);
      assert.equal((await json()).sites[0]!.prune!.failure!.message, 'no');
    },
  );
});

test('who waits for a lane that is woken waits on', async (t) => {
  const db = await aDatabase(t);
  const generation = await capture(db, 'stable', { 'pool/1.deb': '1' });
  const ended = async (): Promise<string> => {
    const what = { distribution: 'stable', site: 'fra', done: isServed(generation) };
    const output = new PassThrough().resume() as unknown as NodeJS.WriteStream;
    return (await watch(db, what, output))[0]!.state;
  };
  await recordFailure(db, AT, { code: 'PATH_CONFLICT', message: 'other bytes' }, null);
  assert.equal(await ended(), 'failed', 'it is parked');
  const newer = await capture(db, 'stable', { 'pool/2.deb': '2' });

  const waiting = ended();
  await sleep(600);
  await serve(db, 'stable', newer);

  assert.equal(await waiting, 'synced');
});

const isServed =
  (generation: number) =>
  (site: LaneProgress): boolean =>
    site.state === 'synced' && site.served >= generation;
