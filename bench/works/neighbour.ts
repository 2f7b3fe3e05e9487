/**
 * A first sync of 2,000 small blobs, alone and beside five archives that trickle to the same site,
 * in pairs. An archive that trickles is no reason for another one to wait.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { readProgress } from '../../src/database/views/progress.ts';
import { openCorpus, type Corpus } from '../corpus.ts';
import { openInstallation, type Installation } from '../installation.ts';
import { spreadOf } from '../statistics.ts';
import { sizedName, type Bench, type WorkGroup } from '../work.ts';

const WORK = 'neighbour';
const PAIRS = 5;
const BLOBS = 2_000;
const SLOW = ['slow-1', 'slow-2', 'slow-3', 'slow-4', 'slow-5'];
/** Each archive has one file of a block and more, and one that is written in one request. */
const SLOW_BYTES = [8_000_000, 9_000_000] as const;
const BEGUN_MS = 60_000;

let corpus: Corpus;
let slow: Corpus;

export const neighbour: WorkGroup = {
  works: [WORK],
  roundsMax: 1,
  async prepare({ testbed, sized }) {
    const made = sized(BLOBS);
    corpus = await openCorpus(
      { name: sizedName('small', made), packages: { made, bytes: [2_000, 20_000] }, releases: 1 },
      testbed.say,
    );
    slow = await openCorpus(
      { name: 'large-2', packages: { made: 2, bytes: SLOW_BYTES } },
      testbed.say,
    );
  },
  async round(bench) {
    const ratios: number[] = [];
    for (let pair = 1; pair <= PAIRS; pair += 1) {
      const alone = await timeAlone(bench, pair);
      ratios.push((await timeBeside(bench, pair)) / alone);
    }
    bench.book.add({
      work: WORK,
      contender: 'beside / alone, by pairs',
      round: 1,
      value: spreadOf(ratios).median * 100,
      unit: '%',
      facts: { pairs: ratios.map((ratio) => ratio.toFixed(2)).join(' ') },
    });
  },
};

async function timeAlone({ testbed, book }: Bench, pair: number): Promise<number> {
  const installation = await openInstallation(testbed, { corpus, sites: 1 });
  try {
    return await book.time(WORK, 'alone', pair, () => installation.update());
  } finally {
    await installation.close();
  }
}

async function timeBeside({ testbed, book }: Bench, pair: number): Promise<number> {
  const served = SLOW.map(async (name) => {
    const url = await testbed.archive.serveSlowly(slow, name);
    return [name, { url, corpus: slow }] as const;
  });
  const neighbours = Object.fromEntries(await Promise.all(served));
  const installation = await openInstallation(testbed, { corpus, sites: 1, neighbours });
  try {
    for (const name of SLOW) await installation.look(name);
    await untilBegun(installation);
    return await book.time(WORK, 'beside five archives that trickle', pair, () =>
      installation.update(),
    );
  } finally {
    await installation.close();
  }
}

/** Nothing of a slow archive is done when the time begins, or when it ends. */
async function untilBegun({ database }: Installation): Promise<void> {
  for (const deadline = Date.now() + BEGUN_MS; ; await sleep(100)) {
    const lanes = (await Promise.all(SLOW.map((name) => readProgress(database, name)))).flat();
    if (lanes.length === SLOW.length && lanes.every(({ state }) => state === 'started')) return;
    if (Date.now() > deadline) throw new Error(`not begun: ${JSON.stringify(lanes)}`);
  }
}
