import assert from 'node:assert/strict';
import test from 'node:test';

import { debgeo } from '../support/debgeo.ts';
import { aWorld } from '../support/world.ts';

test('debgeo release gives a site back; one that is replicated to only for a reason', async (t) => {
  const world = await aWorld(t, { sites: ['fra'], worker: 'none' });

  const refused = await debgeo(world, 'release fra');
  const given = await debgeo(world, 'release fra --reason moved');
  const unknown = await debgeo(world, 'release nowhere');

  assert.equal(refused.exitCode, 2, refused.stderr);
  assert.match(refused.stderr, /found: +bookworm/);
  assert.equal(given.exitCode, 0, given.stderr);
  assert.match(given.stdout, /^fra is given back/);
  assert.equal(unknown.exitCode, 2, unknown.stderr);
});
