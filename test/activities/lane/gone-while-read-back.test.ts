/** A site that goes back, or loses files, while a lane reads it back. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { sql } from 'kysely';

import type { ErrorCode } from '../../../src/domain/errors.ts';
import { walkSite } from '../../../src/witness/walk-site.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const AT = { distribution: 'bookworm', site: 'fra' };
/** More than a probe reads. */
const PACKAGES = Array.from({ length: 20 }, (_, index) => aPackage(`p${index}`, '1.0'));
const outcomeOf = (work: Promise<unknown>): Promise<string> => work.then(() => 'done', code);

const fail = (lanes: Lanes, failure: string) =>
  inActivity(() =>
    lanes.activities().recordFailure({
      ...AT,
      report: { code: failure as ErrorCode, message: 'as the lane says' },
    }),
  );

/** As an operator asked for; nothing is published yet. */
async function readBack(lanes: Lanes, generation: number): Promise<void> {
  await sql`update distribution_replications set verify_requested_at = now()`.execute(
    lanes.database.read.kysely,
  );
  const { syncBlobs, checksumBlobs, verifySnapshot } = lanes.activities();
  await inActivity(() => syncBlobs({ ...AT, generation, plan: true }));
  await inActivity(() => checksumBlobs({ ...AT, generation }));
  await inActivity(() => verifySnapshot({ ...AT, generation }));
}

/** The step before, if it failed, and whole chains, until one goes well. */
async function goOn(lanes: Lanes, generation: number, first: string): Promise<void> {
  let outcome = first;
  for (let round = 0; round < 4 && outcome !== 'done'; round += 1) {
    await fail(lanes, outcome);
    outcome = await outcomeOf(lanes.replicate(generation));
  }
  assert.equal(outcome, 'done');
}

async function empty(lanes: Lanes, isLost: (path: string) => boolean): Promise<void> {
  const { container } = lanes.site();
  for await (const { name } of container.listBlobsFlat())
    if (isLost(name)) await container.deleteBlob(name);
}

const publish = (lanes: Lanes, generation: number): Promise<string> =>
  outcomeOf(
    inActivity(() => lanes.activities().publishSnapshot({ ...AT, generation, probe: true })),
  );

async function assertWhole(lanes: Lanes, packages: number): Promise<void> {
  const { faults, poolFiles } = await walkSite({
    url: `${lanes.site().publicUrl}/debian`,
    suite: 'bookworm',
    keyring: lanes.keyring,
  });
  assert.deepEqual([faults, poolFiles], [[], packages]);
}

test('a container that is emptied behind what was read back is not believed', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture(PACKAGES);
  await lanes.replicate(generation);
  await readBack(lanes, generation);
  await empty(lanes, () => true);
  await goOn(lanes, generation, await publish(lanes, generation));
  await assertWhole(lanes, PACKAGES.length);
});

test('files that are gone behind what was read back are copied again', async (t) => {
  const lanes = await startLanes(t);
  await lanes.replicate(await lanes.capture(PACKAGES));
  const generation = await lanes.capture(PACKAGES.slice(1));
  await readBack(lanes, generation);
  await empty(lanes, (path) => path.startsWith('debian/'));
  await goOn(lanes, generation, await publish(lanes, generation));
  await assertWhole(lanes, PACKAGES.length - 1);
});
