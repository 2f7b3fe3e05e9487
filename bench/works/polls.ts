/**
 * Polls that find nothing changed: how long the look took, as Temporal recorded it, and how many
 * requests the archive answered.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { one, run } from '../../src/database/sql.ts';
import type { Installation } from '../installation.ts';
import { spreadOf } from '../statistics.ts';
import { readStepTimes } from '../step-times.ts';
import type { Bench } from '../work.ts';

const POLL_MS = 1_000;
const NEVER_MS = 6 * 3_600_000;
/** Every tenth look sends no conditions; none of these is such a look. */
const POLLS = 5;
const WAIT_MS = 60_000;

/** The poll interval is set in the row, shorter than a configuration may have it. */
export async function measurePolls(
  { testbed, book }: Bench,
  round: number,
  installation: Installation,
): Promise<void> {
  const [distribution] = installation.distributions as [string];
  const { read } = installation.database;
  const setPollInterval = (ms: number) =>
    run(
      read,
      sql`
        update debian_distributions
        set poll_interval_ms = ${ms}
        where name = ${distribution}`,
    );
  const looks = async (): Promise<number> => {
    const row = await one(
      read,
      sql<{ looks: number }>`
        select looks
        from debian_distributions
        where name = ${distribution}`,
    );
    return row!.looks;
  };

  const before = (await lookTimes(installation)).length;
  await setPollInterval(POLL_MS);
  await installation.look(); // sends no conditions: polls are counted from here on
  await testbed.archive.requestsSinceLastCall();
  for (const deadline = Date.now() + WAIT_MS; (await looks()) < POLLS; await sleep(20))
    if (Date.now() > deadline) throw new Error('the workflow does not poll');
  await setPollInterval(NEVER_MS);
  await sleep(2 * POLL_MS); // for the poll whose timer ran already
  const requests = await testbed.archive.requestsSinceLastCall();
  const times = (await lookTimes(installation)).slice(before + 1);

  const { median, min, max } = spreadOf(times);
  const facts = {
    polls: times.length,
    'archive requests per poll': requests / times.length,
    fastest: min.toFixed(3),
    slowest: max.toFixed(3),
  };
  book.add({
    work: 'nothing-changed',
    contender: 'debgeo',
    round,
    value: median,
    unit: 's',
    facts,
  });
}

/** Seconds from scheduled to completed of every captureSnapshot, in order. */
async function lookTimes(installation: Installation): Promise<number[]> {
  const steps = await readStepTimes(installation);
  return steps
    .filter(({ step }) => step === 'captureSnapshot')
    .map(({ waited, ran }) => waited + ran);
}
