/**
 * 1,000, 10,000 and 100,000 blobs: the time of a first sync per blob; and for the same change of
 * ten packages, what the site is asked to write below `pool/` and the rows of the registry that are
 * written. A proxy that counts stands in front of the site, so the times are not those of other
 * works.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { openCorpus, type Corpus } from '../corpus.ts';
import { startCountingProxy } from '../counting-proxy.ts';
import type { Bench, WorkGroup } from '../work.ts';
import { openWorld, type World } from '../world.ts';

const SIZES = [1_000, 10_000, 100_000];
const CHANGED_PACKAGES = 10;
const ALONE_MS = 1_100;
/**
 * A session that has become idle tells its last counts after ten seconds (PGSTAT_IDLE_INTERVAL of
 * PostgreSQL's pgstat.c).
 */
const COUNTERS_MS = 12_000;

const corpora: Corpus[] = [];

export const scaling: WorkGroup = {
  works: ['scaling'],
  onlyByName: true,
  roundsMax: 1,
  async prepare({ stage, sized }) {
    for (const full of SIZES) {
      const made = sized(full, 2 * CHANGED_PACKAGES);
      const packages = { made, bytes: [1_000, 1_400] } as const;
      corpora.push(
        await openCorpus(
          { name: `scaling-${made}`, packages, releases: 1, changed: CHANGED_PACKAGES / made },
          stage.say,
        ),
      );
    }
  },
  async round(bench, round) {
    for (const corpus of corpora) await roundOf(bench, round, corpus);
  },
};

async function roundOf({ stage, book }: Bench, round: number, corpus: Corpus): Promise<void> {
  const proxy = await startCountingProxy(stage.stack.blobs[0]!.url);
  const world = await openWorld(stage, { corpus, sites: 1, accountUrl: async () => proxy.url });
  try {
    const blobs = corpus.files.length;
    const first = await world.update();
    book.add({
      work: 'scaling',
      contender: `${blobs} blobs, first sync`,
      round,
      value: (first / blobs) * 1000,
      unit: 'ms per blob',
      facts: { seconds: first.toFixed(1) },
    });
    await sleep(COUNTERS_MS);
    const before = await countersOf(world);
    await proxy.takeCounts();
    await stage.archive.release(corpus, 1);
    await sleep(ALONE_MS);
    const seconds = await world.update();
    await sleep(COUNTERS_MS);
    const after = await countersOf(world);
    const asked = await proxy.takeCounts();
    const facts = {
      'PUT below pool': asked.poolPuts,
      'GET below pool': asked.poolGets,
      'all requests at the site': asked.all,
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
    await world.close();
    await proxy.close();
  }
}

async function countersOf(world: World): Promise<{ inserted: number; updated: number }> {
  const { rows } = await sql<{ inserted: number; updated: number }>`
    select n_tup_ins as inserted, n_tup_upd as updated from pg_stat_user_tables where relname = 'blob_registry'`.execute(
    world.database.read.kysely,
  );
  return rows[0]!;
}
