import assert from 'node:assert/strict';
import test from 'node:test';

import { debgeo } from '../support/debgeo.ts';
import { aWorld } from '../support/world.ts';

test('debgeo adopt wants a site that vouches for itself, and a reason', async (t) => {
  const world = await aWorld(t, { sites: ['fra'], worker: 'none' });

  const empty = await debgeo(world, 'adopt fra --take-over --reason lost');
  const unreasoned = await debgeo(world, 'adopt fra --take-over');
  const unknown = await debgeo(world, 'adopt nowhere --reason lost');

  assert.equal(empty.exitCode, 3, empty.stderr);
  assert.match(empty.stderr, /^ADOPT_REFUSED: fra has no \.debgeo\/site\.json/);
  assert.deepEqual([...(await world.site('fra').contents()).keys()], []);
  assert.equal(unreasoned.exitCode, 2, unreasoned.stderr);
  assert.equal(unknown.exitCode, 2, unknown.stderr);
});
