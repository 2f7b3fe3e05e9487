/**
 * A slice of `npm run soak:model`: fixed seeds, so that it is the same every time, and the
 * schedules that once broke a promise. Each ends as quiet: every site is what its archive released
 * last.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import fc from 'fast-check';

import { migratedDatabase } from '../support/servers.ts';
import * as known from './known-schedules.ts';
import { newCounts, play, schedules, Turns } from './schedule.ts';
import { System } from './system.ts';

const SEEDS = [1, 2, 3];
/** All seeds together: what does not fit into this is left to the soak. */
const RANDOM_MS = 45_000;

describe('whatever happens, in whatever order', () => {
  let system: System;
  let turns: Turns;
  before(async () => {
    system = await System.start(await migratedDatabase());
    turns = new Turns(system);
  });
  after(() => system?.close());

  for (const [name, schedule] of Object.entries(known))
    it(`keeps every promise in ${name}`, async () => {
      await play(system, newCounts(), schedule);
    });

  for (const seed of SEEDS)
    it(`keeps every promise in random schedules of seed ${seed}`, async (t) => {
      const counts = newCounts();
      const found = await fc.check(schedules(turns.take, counts), {
        seed,
        numRuns: 40,
        interruptAfterTimeLimit: RANDOM_MS / SEEDS.length,
        endOnFailure: true,
      });
      await turns.over();
      const { schedules: played, commands, faults } = counts;
      t.diagnostic(`${played} schedules, ${commands} commands, ${faults} faults injected`);
      // a slow machine may have ended none in time, and the last one later
      const isBroken = found.counterexample !== null;
      assert.ok(!isBroken, `${fc.defaultReportMessage(found)}\n${String(found.errorInstance)}`);
      assert.equal(turns.broken, null, String(turns.broken));
      assert.ok(played > 0);
    });
});
