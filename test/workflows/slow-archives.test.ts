/** Archives that accept a request and send no byte hold up nothing but their own distributions. */
import { equal } from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { reconcile } from '../../src/temporal/reconcile.ts';
import { sendCommand, sendDistributionChanged } from '../../src/temporal/signals.ts';
import { look } from '../../src/temporal/updates.ts';
import { eventually } from './eventually.ts';
import { startHarness, wanted, type Harness } from './harness.ts';

/** With 20 distributions each: as many captures as one worker has slots on a queue, unless told. */
const ARCHIVES = ['a', 'b', 'c', 'd', 'e'];
const HELD = ARCHIVES.flatMap((archive) =>
  Array.from({ length: 20 }, (_, index) => ({ archive, name: `${archive}-${index}` })),
);

let h: Harness;
before(async () => {
  h = await startHarness(['fra']);
  for (const archive of ARCHIVES) h.archives.add(archive);
});
after(() => h.stop());

test('while five archives are held, another is looked at, and commands are answered', async () => {
  const holds = HELD.map(({ archive, name }) => {
    h.world.add(name, [], {}, archive);
    return h.world.hold('captureSnapshot', name);
  });
  const begun = (): number =>
    HELD.filter(({ name }) => h.world.count('captureSnapshot', name)).length;
  h.world.add('healthy', ['fra']);
  await reconcile(h.client, wanted(...HELD.map(({ name }) => name)));
  await eventually('captures of every archive are held', () => begun() >= 20);
  await eventually('bookkeeping went on', () =>
    HELD.every(({ name }) => h.world.count('loadRoster', name) === 1),
  );

  await sendDistributionChanged(h.client, 'healthy');
  await h.synced('healthy', 'fra');
  await sendCommand(h.client, 'pause', 'healthy');
  await eventually('paused', () => h.world.row('healthy', 'fra').paused);
  h.world.release('healthy');
  equal((await look(h.client, 'healthy')).outcome, 'captured');

  equal(begun(), 20);
  for (const hold of holds) hold.release();
  await eventually('the others follow', () => begun() === HELD.length);
});
