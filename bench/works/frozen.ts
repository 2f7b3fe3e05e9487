/**
 * One of two workers is frozen (SIGSTOP): how long until the site serves the release through the
 * other one. While it copies: the frozen worker holds the slice. While it rests: it holds nothing
 * but its polls, and the workflow's memory, so that it is given the next tasks.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { readProgress } from '../../src/database/views/progress.ts';
import { sendDistributionChanged } from '../../src/temporal/signals.ts';
import { workflowId } from '../../workflows/messages.ts';
import type { Facts } from '../book.ts';
import { openCorpus, type Corpus } from '../corpus.ts';
import { openInstallation, secondsSince, type Installation } from '../installation.ts';
import { readTakeover } from '../takeover.ts';
import { sizedName, type Bench, type WorkGroup } from '../work.ts';

const COPYING = 'frozen-copying';
const RESTING = 'frozen-resting';
/** Enough to be frozen in the middle of them; what the other worker copies is measured, too. */
const BLOBS = 600;
/** So long the worker that was frozen has to come back, and both to poll again. */
const REST_MS = 3_000;
const WAIT_MS = 60_000;
const SERVED_MS = 5 * 60_000;

let corpus: Corpus;

export const frozen: WorkGroup = {
  works: [COPYING, RESTING],
  onlyByName: true,
  async prepare({ testbed, sized }) {
    const made = sized(BLOBS, 300);
    corpus = await openCorpus(
      { name: sizedName('frozen', made), packages: { made, bytes: [2_000, 20_000] }, releases: 1 },
      testbed.say,
    );
  },
  async round(bench, round) {
    const installation = await openInstallation(bench.testbed, { corpus, sites: 1, workers: 2 });
    try {
      await bench.testbed.archive.release(corpus, 0);
      const syncing = installation.update();
      syncing.catch(() => undefined); // awaited below
      await freeze(bench, installation, COPYING, round, await untilCopying(installation), syncing);
      await bench.testbed.archive.release(corpus, 1);
      const pid = await lastWorkerOf(installation);
      await freeze(bench, installation, RESTING, round, pid, null);
    } finally {
      await installation.close();
    }
  },
};

/** @param served null: a look is asked for once the worker is frozen */
async function freeze(
  { book, testbed }: Bench,
  installation: Installation,
  work: string,
  round: number,
  pid: number,
  served: Promise<number> | null,
): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const [began, at] = [performance.now(), Date.now()];
  try {
    await (served ?? releaseSecond(installation));
    const value = secondsSince(began);
    const { facts, lines } = await readTakeover(installation, pid, at);
    for (const line of lines) testbed.say(`  ${line}`);
    book.add({ work, contender: 'debgeo', round, value, unit: 's', facts: facts satisfies Facts });
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await sleep(REST_MS);
}

/** The archive tells of its second release. A look that is asked for would give up waiting. */
async function releaseSecond({ database, client, distributions }: Installation): Promise<void> {
  const [distribution] = distributions as [string];
  await sendDistributionChanged(client, distribution);
  for (const deadline = Date.now() + SERVED_MS; Date.now() < deadline; await sleep(20)) {
    const [lane] = await readProgress(database, distribution);
    if (lane?.served === 2 && lane.state === 'synced') return;
  }
  throw new Error('the other worker did not go on');
}

/** @returns the process that copies */
async function untilCopying({ database, client, distributions }: Installation): Promise<number> {
  const [distribution] = distributions as [string];
  const handle = client.workflow.getHandle(workflowId(distribution));
  for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline; await sleep(10)) {
    const [lane] = await readProgress(database, distribution);
    if ((lane?.filesDone ?? 0) === 0) continue;
    const { raw } = await handle.describe();
    const copying = raw.pendingActivities?.find(
      ({ activityType }) => activityType?.name === 'syncBlobs',
    );
    if (copying?.lastWorkerIdentity) return pidOf(copying.lastWorkerIdentity);
  }
  throw new Error('no worker copies');
}

/** The process that has the workflow in its memory. */
async function lastWorkerOf({ client, distributions }: Installation): Promise<number> {
  const { events } = await client.workflow.getHandle(workflowId(distributions[0]!)).fetchHistory();
  const last = events?.findLast((event) => event.workflowTaskCompletedEventAttributes);
  return pidOf(last!.workflowTaskCompletedEventAttributes!.identity!);
}

/** Of an identity as the SDK makes it: `PID@HOST`. */
const pidOf = (identity: string): number => Number.parseInt(identity, 10);
