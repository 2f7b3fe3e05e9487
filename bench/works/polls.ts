/**
 * Polls that find nothing changed: how long Temporal says that the look took, and what the archive
 * was asked.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { spreadOf } from '../statistics.ts';
import { readStepTimes } from '../step-times.ts';
import type { Bench } from '../work.ts';
import type { World } from '../world.ts';

const POLL_MS = 1_000;
const NEVER_MS = 6 * 3_600_000;
/** Every tenth look asks unconditionally; none of these does. */
const POLLS = 5;
const WAIT_MS = 60_000;

/**
 * The poll interval is set in the row, below what a configuration may say, so that nobody waits.
 */
export async function measurePolls(
  { stage, book }: Bench,
  round: number,
  world: World,
): Promise<void> {
  const [distribution] = world.distributions as [string];
  const setInterval = (ms: number) =>
    sql`update debian_distributions set poll_interval_ms = ${ms} where name = ${distribution}`.execute(
      world.database.read.kysely,
    );
  const looks = async (): Promise<number> => {
    const { rows } = await sql<{
      looks: number;
    }>`select looks from debian_distributions where name = ${distribution}`.execute(
      world.database.read.kysely,
    );
    return rows[0]!.looks;
  };

  const before = (await lookTimes(world)).length;
  await setInterval(POLL_MS);
  await world.look(); // unconditional: from here on, polls are counted
  await stage.archive.takeRequests();
  for (const deadline = Date.now() + WAIT_MS; (await looks()) < POLLS; await sleep(20))
    if (Date.now() > deadline) throw new Error('the workflow does not poll');
  await setInterval(NEVER_MS);
  await sleep(2 * POLL_MS); // the poll that was set before
  const requests = await stage.archive.takeRequests();
  const times = (await lookTimes(world)).slice(before + 1);

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
async function lookTimes(world: World): Promise<number[]> {
  const steps = await readStepTimes(world);
  return steps
    .filter(({ step }) => step === 'captureSnapshot')
    .map(({ waited, ran }) => waited + ran);
}
