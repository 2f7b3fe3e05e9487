/**
 * `npm run soak -- [--minutes 3] [--seed 1] [--restores N] [--hot-restores] [--cycles 5]`: the
 * whole stack under apt while servers die, files rot and the database goes back. README.md beside
 * this file says how to read what it prints. Exit 1: a promise did not hold.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { findApt } from '../../src/witness/apt-client.ts';
import { openJournal } from './journal.ts';
import { linesOf, verdictOf } from './report.ts';
import { Soak } from './soak.ts';
import { openStage, type Stage } from './stage.ts';

/** So often a site of some hundred files is read back. */
const SCRUB_MS = 15_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    restores: { type: 'string' },
    'hot-restores': { type: 'boolean', default: false },
    cycles: { type: 'string', default: '5' },
    'whole-within': { type: 'string', default: '900' },
  },
});
const minutes = Number(values.minutes);
const given = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => given.abort(new Error(`given up by ${signal}`)));

const apt = await findApt();
if (apt === null) throw new Error('the soak needs apt: run it on Debian or Ubuntu');
const say = (line: string): void => console.log(line);
let stage: Stage | null = null;
try {
  say(`${apt}; starting PostgreSQL, Temporal, two Azurites and two workers`);
  stage = await openStage({ say, scrubMs: SCRUB_MS, signal: given.signal });
  const journal = openJournal(join(stage.logs, 'events.jsonl'));
  say(`seed ${values.seed}, ${minutes} minutes; events: ${journal.file}`);
  const soak = new Soak(
    stage,
    {
      seed: Number(values.seed),
      ms: minutes * 60_000,
      restores: Number(values.restores ?? Math.round(minutes / 10)),
      hotRestores: values['hot-restores'],
      cyclesPerSecond: Number(values.cycles),
      faults: true,
      end: { wholeWithinMs: Number(values['whole-within']) * 1_000, scrubs: true },
      signal: given.signal,
    },
    journal,
  );
  const report = await soak.run();
  for (const line of linesOf(report, journal.file)) say(line);
  process.exitCode = verdictOf(report).faults.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await stage?.close();
}
