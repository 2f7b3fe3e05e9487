/** The order of locks: the distribution, the lane, its claims. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { sql } from 'kysely';

import { bookAhead } from '../../../src/database/anchors/restored.ts';
import { lockAndEndClaim } from '../../../src/database/claims.ts';
import { all, run } from '../../../src/database/sql.ts';
import { aDatabase, capture, digestOf, start } from '../lanes-fixture.ts';

test('a site that is ahead waits for a step that ends, and neither is a deadlock', async (t) => {
  const db = await aDatabase(t);
  const lane = await start(db, 'stable', await capture(db, 'stable', { 'pool/1.deb': '1' }));
  const lost = { epoch: 0, release: digestOf('lost'), pruned: 0 };
  const report = { code: 'SITE_AHEAD', message: 'it is ahead' } as const;
  let ahead: Promise<void> | undefined;
  await db.transaction(async (tx) => {
    await run(
      tx,
      sql`
        select
        from distribution_replications
        where distribution_id = ${lane.distributionId}
          and site_id = ${lane.siteId}
        for no key update`,
    );
    ahead = bookAhead(db, lane, lost, report);
    ahead.catch(() => undefined);
    while ((await all(db.read, sql`select from pg_locks where not granted`)).length === 0);
    await lockAndEndClaim(tx, lane);
  });
  await ahead;

  const [row] = await all(
    db.read,
    sql<{ isLost: boolean }>`
      select lost_release is not null as "isLost"
      from distribution_replications
      where distribution_id = ${lane.distributionId}
        and site_id = ${lane.siteId}`,
  );
  assert.deepEqual(row, { isLost: true });
});
