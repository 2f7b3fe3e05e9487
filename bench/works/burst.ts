/**
 * 1,000 changes over 200 small distributions: from the first signal until every lane serves what
 * was released last.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { sendDistributionChanged } from '../../src/temporal/signals.ts';
import { openCorpus, type Corpus, type CorpusFile } from '../corpus.ts';
import type { WorkGroup } from '../work.ts';
import { openWorld, secondsSince, type World } from '../world.ts';

const DISTRIBUTIONS = 200;
const PACKAGES_EACH = 5;
/** Changes of each. */
const RELEASES = 5;
/** Signals on their way at a time. */
const PARALLEL = 20;
const SETTLE_MS = 15 * 60_000;

let corpus: Corpus;

export const burst: WorkGroup = {
  works: ['burst'],
  roundsMax: 1,
  async prepare({ stage, sized }) {
    const suites = sized(DISTRIBUTIONS);
    const packages = { made: suites * PACKAGES_EACH, bytes: [2_000, 4_000] } as const;
    corpus = await openCorpus(
      { name: `burst-${suites}`, packages, suites, releases: RELEASES },
      stage.say,
    );
  },
  async round({ stage, book }, round) {
    const world = await openWorld(stage, { corpus, sites: 1 });
    try {
      const first = performance.now();
      await signalAll(world);
      await untilServed(world, corpus.files);
      stage.say(
        `burst  ${corpus.suites.length} distributions synced for the first time in ${secondsSince(first).toFixed(1)} s`,
      );

      const facts: Record<string, number | string> = {
        distributions: corpus.suites.length,
        changes: corpus.suites.length * RELEASES,
      };
      await book.time(
        'burst',
        'debgeo',
        round,
        async () => {
          const began = performance.now();
          for (const [index] of corpus.releases.entries()) {
            await stage.archive.release(corpus, index + 1);
            await signalAll(world);
          }
          facts['signals sent after'] = `${secondsSince(began).toFixed(1)} s`;
          await untilServed(world, corpus.releases.at(-1)!);
          return secondsSince(began);
        },
        () => facts,
      );
    } finally {
      await world.close();
    }
  },
};

async function signalAll({ client, distributions }: World): Promise<void> {
  const queue = distributions.values();
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (const distribution of queue) await sendDistributionChanged(client, distribution);
    }),
  );
}

/**
 * What is served is known by its InRelease: a generation says nothing, since several changes may
 * become one.
 */
async function untilServed(
  { database, distributions }: World,
  files: readonly CorpusFile[],
): Promise<void> {
  const wanted = files
    .filter((file) => file.path.endsWith('/InRelease'))
    .map((file) => file.sha256);
  for (const deadline = Date.now() + SETTLE_MS; ; await sleep(200)) {
    const { rows } = await sql<{ served: number; failed: number }>`
      select count(*) filter (where r.state = 'synced' and encode(sha256(s.in_release), 'hex') = any(${wanted}::text[])) as served,
             count(*) filter (where r.state = 'failed') as failed
      from distribution_replications r
      left join distribution_snapshots s on s.distribution_id = r.distribution_id and s.generation = r.served_generation`.execute(
      database.read.kysely,
    );
    const { served, failed } = rows[0]!;
    if (served === distributions.length) return;
    if (Date.now() > deadline)
      throw new Error(
        `${served} of ${distributions.length} lanes serve what was released last, ${failed} failed`,
      );
  }
}
