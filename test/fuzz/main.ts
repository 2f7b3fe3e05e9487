/**
 * `npm run fuzz -- [--minutes 3] [--seed 1] [--case 17]`: judges mutants beside gpgv and apt, and
 * says what came of it. Exit 1: debgeo accepts something that apt refuses, which is then kept in a
 * file. With `--case`, that one mutant is written instead.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { caseOf, fuzz, judge, keep } from './fuzz.ts';
import { ReleaseSets } from './release-sets.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    case: { type: 'string' },
  },
});
const seed = Number(values.seed);
const folder = join(tmpdir(), `debgeo-fuzz-${seed}`);

if (values.case !== undefined) {
  const one = await caseOf(seed, Number(values.case), new ReleaseSets(seed));
  console.log(`${await judge(one)}: ${keep(folder, values.case, one)}`);
} else {
  const end = performance.now() + Number(values.minutes) * 60_000;
  const report = await fuzz({ seed, isEnough: () => performance.now() >= end });

  const kinds = [...report.kinds].toSorted(([one], [other]) => (one < other ? -1 : 1));
  for (const [kind, count] of kinds) console.log(`${String(count).padStart(8)}  ${kind}`);
  const { cases, accepted, asked, seconds, findings } = report;
  console.log(
    `seed ${seed}: ${cases} cases, ${accepted} accepted, ${asked} shown to apt, ` +
      `${(cases / seconds).toFixed(0)} cases a second`,
  );
  for (const { index, one, gpgv } of findings)
    console.log(
      `case ${index}: apt refuses it, gpgv ${gpgv ? 'accepts' : 'refuses'}: ` +
        `${one.changes.join(', ')}: ${keep(folder, String(index), one)}`,
    );
  console.log(findings.length === 0 ? 'no finding' : `${findings.length} findings`);
  process.exitCode = findings.length === 0 ? 0 : 1;
}
