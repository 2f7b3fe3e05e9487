import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { saveResigned, saveSnapshot } from '../../../src/database/catalog/save-snapshot.ts';
import { readNewestRelease } from '../../../src/database/replications/newest-release.ts';
import { aBlob, aDistribution, aSnapshot, NO_VALIDATOR } from '../distribution-fixture.ts';

test('a release without Date is as old as its text, whenever it was signed', async (t) => {
  const fixture = await aDistribution();
  const { db, distributionId } = fixture;
  t.after(() => fixture.close());
  const undated = (body: string, poolFile: string) => ({
    ...aSnapshot([aBlob(poolFile)], body),
    date: null,
  });
  const age = async (): Promise<number[]> => {
    const { generation, releasedAt } = (await readNewestRelease(db.read, distributionId))!;
    return [generation, (Date.now() - releasedAt.getTime()) / 86_400_000].map(Math.round);
  };
  const captured = (generation: number, daysAgo: number): Promise<unknown> =>
    sql`
      update distribution_snapshots
      set captured_at = now() - ${daysAgo} * interval '1 day'
      where generation = ${generation}`.execute(db.read.kysely);

  assert.equal(await readNewestRelease(db.read, distributionId), null);
  await saveSnapshot(db, distributionId, undated('one', 'pool/a.deb'), NO_VALIDATOR);
  await captured(1, 40);
  await saveSnapshot(db, distributionId, undated('two', 'pool/b.deb'), NO_VALIDATOR);
  await captured(2, 30);
  const resigned = {
    ...undated('two', 'pool/b.deb'),
    releaseSet: aSnapshot([], 'two', 'again').releaseSet,
  };
  await saveResigned(db, distributionId, 2, resigned, NO_VALIDATOR);
  assert.deepEqual(await age(), [3, 30]);

  await saveSnapshot(db, distributionId, undated('one', 'pool/a.deb'), NO_VALIDATOR);
  assert.deepEqual(await age(), [4, 0], 'a text that comes back is new');
});
