/**
 * 1,000, 10,000 and 100,000 blobs: the time of a first sync per blob; and for the same change of
 * ten packages, the requests below `pool/` and the rows of the registry that are written. A
 * counting proxy stands in front of the site, so that times are not comparable with other works.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { one } from '../../src/database/sql.ts';
import { openCorpus, type Corpus } from '../corpus.ts';
import { startCountingProxy } from '../counting-proxy.ts';
import { openInstallation, type Installation } from '../installation.ts';
import type { Bench, WorkGroup } from '../work.ts';

const SIZES = [1_000, 10_000, 100_000];
const CHANGED_PACKAGES = 10;
/** Longer than `gatherMs`, the second that debgeo waits between two looks. */
const ALONE_MS = 1_100;
/**
 * An idle session of PostgreSQL reports its last counts after ten seconds (PGSTAT_IDLE_INTERVAL in
 * pgstat.c).
 */
const COUNTERS_MS = 12_000;

const corpora: Corpus[] = [];

export const scaling: WorkGroup = {
  works: ['scaling'],
  onlyByName: true,
  roundsMax: 1,
  async prepare({ testbed, sized }) {
    for (const full of SIZES) {
      const made = sized(full, 2 * CHANGED_PACKAGES);
      const packages = { made, bytes: [1_000, 1_400] } as const;
      corpora.push(
        await openCorpus(
          { name: `scaling-${made}`, packages, releases: 1, changed: CHANGED_PACKAGES / made },
          testbed.say,
        ),
      );
    }
  },
  async round(bench, round) {
    for (const corpus of corpora) await roundOf(bench, round, corpus);
  },
};

async function roundOf({ testbed, book }: Bench, round: number, corpus: Corpus): Promise<void> {
  const proxy = await startCountingProxy(testbed.stack.blobs[0]!.url);
  const installation = await openInstallation(testbed, {
    corpus,
    sites: 1,
    accountUrl: async () => proxy.url,
  });
  try {
    const blobs = corpus.files.length;
    const first = await installation.update();
    book.add({
      work: 'scaling',
      contender: `${blobs} blobs, first sync`,
      round,
      value: (first / blobs) * 1000,
      unit: 'ms per blob',
      facts: { seconds: first.toFixed(1) },
    });
    await sleep(COUNTERS_MS);
    const before = await countersOf(installation);
    await proxy.countsSinceLastCall();
    await testbed.archive.release(corpus, 1);
    await sleep(ALONE_MS);
    const seconds = await installation.update();
    await sleep(COUNTERS_MS);
    const after = await countersOf(installation);
    const requests = await proxy.countsSinceLastCall();
    const facts = {
      'PUT below pool': requests.poolPuts,
      'GET below pool': requests.poolGets,
      'all requests at the site': requests.all,
      'rows of blob_registry inserted': after.inserted - before.inserted,
      'rows of blob_registry updated': after.updated - before.updated,
    };
    book.add({
      work: 'scaling',
      contender: `${blobs} blobs, ${CHANGED_PACKAGES} packages changed`,
      round,
      value: seconds,
      unit: 's',
      facts,
    });
  } finally {
    await installation.close();
    await proxy.close();
  }
}

async function countersOf(
  installation: Installation,
): Promise<{ inserted: number; updated: number }> {
  const counters = await one(
    installation.database.read,
    sql<{ inserted: number; updated: number }>`
      select n_tup_ins as inserted, n_tup_upd as updated
      from pg_stat_user_tables
      where relname = 'blob_registry'`,
  );
  return counters!;
}
