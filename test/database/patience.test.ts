/** A process that freezes with a lock of a lane in its hands. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';

import { sql } from 'kysely';

import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { PATIENCE } from '../../src/database/patience.ts';
import { applyCommand } from '../../src/database/replications/commands.ts';
import { patienceOf, readSettings } from '../../src/database/server/settings.ts';
import { run } from '../../src/database/sql.ts';
import { aDistribution, DISTRIBUTION } from './distribution-fixture.ts';

const AT = { distribution: DISTRIBUTION, site: 'fra' };
const IDLE_MS = 3_000;

/**
 * A child that locks the lane and says so; when it may go on, it asks for one thing more, and says
 * what became of that.
 */
async function holder(t: TestContext, url: string) {
  const child = spawn(
    process.execPath,
    [
      '--input-type=module-typescript',
      '--eval',
      `import { sql } from 'kysely';
       import { connectDatabase } from '${import.meta.resolve('../../src/database/orm.ts')}';
       const db = await connectDatabase(process.argv[1], {
         patience: { idleInTransactionMs: ${IDLE_MS}, unacknowledgedMs: 15_000 },
       });
       const ended = db.transaction(async ({ kysely }) => {
         await sql\`select from distribution_replications for no key update\`.execute(kysely);
         console.log('holds');
         await new Promise((resolve) => setTimeout(resolve, ${2 * IDLE_MS}));
         await sql\`select 1\`.execute(kysely);
       });
       console.log(await ended.then(() => 'committed', () => 'refused'));
       await sql\`select 1\`.execute(db.read.kysely);
       console.log('works on');
       await db.close();`,
      url,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const says = async (): Promise<string> => (await lines.next()).value as string;
  assert.equal(await says(), 'holds');
  return { child, says };
}

const urlOf = (db: Database): string => db.orm.config.get('clientUrl')!;

test(
  'a frozen process holds up others no longer than its transaction may idle',
  {
    timeout: 60_000,
  },
  async (t) => {
    const { db } = await aDistribution({ sites: ['fra'] });
    t.after(() => db.close());
    const { child, says } = await holder(t, urlOf(db));
    child.kill('SIGSTOP');
    const began = Date.now();

    const row = await applyCommand(db, AT, { paused: true }, null);

    const waited = Date.now() - began;
    assert.equal(row!.paused, true);
    assert.ok(waited > IDLE_MS / 2, `${waited} ms`);
    child.kill('SIGCONT');
    assert.deepEqual([await says(), await says()], ['refused', 'works on']);
    if (child.exitCode === null) await once(child, 'exit');
    assert.equal(child.exitCode, 0);
  },
);

test('bookkeeping gives a lock up before Temporal repeats it', { timeout: 60_000 }, async (t) => {
  const { db } = await aDistribution({ sites: ['fra'] });
  t.after(() => db.close());
  const session = await connectDatabase(urlOf(db), {
    patience: { ...PATIENCE, idleInTransactionMs: 60_000 },
  });
  t.after(() => session.close());

  await session.read.kysely.transaction().execute(async (tx) => {
    await sql`select from distribution_replications for no key update`.execute(tx);
    const began = Date.now();
    await assert.rejects(applyCommand(db, AT, { paused: true }, null), /lock timeout/);
    const waited = Date.now() - began;
    assert.ok(waited > 14_000, `${waited} ms`);
  });
  assert.equal((await applyCommand(db, AT, { paused: true }, null))!.paused, true);
  await run(db.read, sql`select 1`);
});

test('every session asks for the patience that doctor shows', async (t) => {
  const { db } = await aDistribution();
  t.after(() => db.close());

  const settings = await readSettings(db);

  assert.equal(Number(settings.idle_in_transaction_session_timeout), PATIENCE.idleInTransactionMs);
  assert.equal(
    patienceOf(settings),
    'a frozen transaction ends after 15 s, a lost client after 15 s',
  );
});
