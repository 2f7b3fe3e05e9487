import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { sql } from 'kysely';

import { saveSnapshot } from '../../../src/database/catalog/save-snapshot.ts';
import { recordCaptureFailure, recordLook } from '../../../src/database/replications/looks.ts';
import {
  acceptOlder,
  reserveOlderAcceptance,
} from '../../../src/database/replications/older-acceptances.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import {
  aBlob,
  aDistribution,
  aSnapshot,
  DISTRIBUTION,
  NO_VALIDATOR,
  type Fixture,
} from '../distribution-fixture.ts';

const ACCEPTANCE = { reason: 'the release was withdrawn', by: 'operator' };
const fixtures: Fixture[] = [];
after(() => Promise.all(fixtures.map((fixture) => fixture.close())));

const aFixture = async (): Promise<Fixture> => {
  const fixture = await aDistribution({ sites: ['fra'] });
  fixtures.push(fixture);
  return fixture;
};
const endOfLook = { validator: NO_VALIDATOR, unconditional: true, signatures: [] };
const older = {
  ...aSnapshot([aBlob('pool/a.deb')], 'older'),
  date: new Date('2025-12-01T00:00:00Z'),
};

test('an acceptance waits for the look that begins after it; one that runs leaves it', async () => {
  const { db, distributionId } = await aFixture();

  assert.equal(await reserveOlderAcceptance(db, distributionId), null, 'a look begins');
  await acceptOlder(db, DISTRIBUTION, ACCEPTANCE);
  await recordLook(db, DISTRIBUTION, endOfLook);

  assert.notEqual(await reserveOlderAcceptance(db, distributionId), null);
});

test('an acceptance is for one look: a repeated attempt finds it, no later look', async () => {
  const { db, distributionId } = await aFixture();
  for (const end of [
    () => recordLook(db, DISTRIBUTION, endOfLook),
    () => recordCaptureFailure(db, DISTRIBUTION, { code: 'ARCHIVE_UNREACHABLE', message: '' }),
  ]) {
    await acceptOlder(db, DISTRIBUTION, ACCEPTANCE);

    const taken = await reserveOlderAcceptance(db, distributionId);
    assert.notEqual(taken, null);
    assert.equal(await reserveOlderAcceptance(db, distributionId), taken);
    await end();

    assert.equal(await reserveOlderAcceptance(db, distributionId), null);
  }
});

test('an acceptance lets one generation in; a second is refused, and not saved', async () => {
  const { db, distributionId } = await aFixture();
  await saveSnapshot(db, distributionId, aSnapshot([aBlob('pool/a.deb')], 'newer'), NO_VALIDATOR);
  await acceptOlder(db, DISTRIBUTION, ACCEPTANCE);
  const acceptance = await reserveOlderAcceptance(db, distributionId);

  assert.deepEqual(await saveSnapshot(db, distributionId, older, NO_VALIDATOR, 1, acceptance), {
    generation: 2,
  });
  const again = {
    ...aSnapshot([aBlob('pool/b.deb')], 'older still'),
    date: new Date('2025-11-01T00:00:00Z'),
  };
  await assert.rejects(
    saveSnapshot(db, distributionId, again, NO_VALIDATOR, 2, acceptance),
    refusesWith('RELEASE_ROLLBACK'),
  );

  const { rows } = await sql`
      select generation, facts
      from distribution_events
      where what = 'accepted older'`.execute(db.read.kysely);
  const dates = { date: '2025-12-01T00:00:00.000Z', newestDate: '2026-01-01T00:00:00.000Z' };
  assert.deepEqual(rows, [{ generation: 2, facts: { ...ACCEPTANCE, ...dates } }]);
  const saved = await sql<{
    generation: number;
  }>`select max(generation) as generation from distribution_snapshots`.execute(db.read.kysely);
  assert.deepEqual(saved.rows, [{ generation: 2 }]);
});

test('an older release of a distribution that is not there is not accepted', async () => {
  const { db } = await aFixture();

  await assert.rejects(acceptOlder(db, 'nope', ACCEPTANCE), refusesWith('NAME_UNKNOWN'));
});
