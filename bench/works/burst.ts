/**
 * 1,000 changes over 200 small distributions: from the first signal until every lane serves the
 * last release.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { one } from '../../src/database/sql.ts';
import { sendDistributionChanged } from '../../src/temporal/signals.ts';
import { openCorpus, type Corpus, type CorpusFile } from '../corpus.ts';
import { openInstallation, secondsSince, type Installation } from '../installation.ts';
import type { WorkGroup } from '../work.ts';

const DISTRIBUTIONS = 200;
const PACKAGES_EACH = 5;
/** Changes of each distribution. */
const RELEASES = 5;
/** Signals on their way at a time. */
const PARALLEL = 20;
const SETTLE_MS = 15 * 60_000;

let corpus: Corpus;

export const burst: WorkGroup = {
  works: ['burst'],
  roundsMax: 1,
  async prepare({ testbed, sized }) {
    const suites = sized(DISTRIBUTIONS);
    const packages = { made: suites * PACKAGES_EACH, bytes: [2_000, 4_000] } as const;
    corpus = await openCorpus(
      { name: `burst-${suites}`, packages, suites, releases: RELEASES },
      testbed.say,
    );
  },
  async round({ testbed, book }, round) {
    const installation = await openInstallation(testbed, { corpus, sites: 1 });
    try {
      const first = performance.now();
      await signalAll(installation);
      await untilServed(installation, corpus.files);
      const seconds = secondsSince(first).toFixed(1);
      testbed.say(`burst  first sync of ${corpus.suites.length} distributions in ${seconds} s`);

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
            await testbed.archive.release(corpus, index + 1);
            await signalAll(installation);
          }
          facts['signals sent after'] = `${secondsSince(began).toFixed(1)} s`;
          await untilServed(installation, corpus.releases.at(-1)!);
          // Several changes may become one generation, and a lane may pass one over.
          facts['generations'] = (await countOf(installation, 'captured')) - corpus.suites.length;
          facts['chains'] = (await countOf(installation, 'synced')) - corpus.suites.length;
          return secondsSince(began);
        },
        () => facts,
      );
    } finally {
      await installation.close();
    }
  },
};

async function signalAll({ client, distributions }: Installation): Promise<void> {
  const queue = distributions.values();
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (const distribution of queue) await sendDistributionChanged(client, distribution);
    }),
  );
}

/** How often this was put on record; the first sync is once for each distribution. */
const countOf = async ({ database }: Installation, what: string): Promise<number> =>
  (await one(
    database.read,
    sql<{ count: number }>`
      select count(*)::int as count
      from distribution_events
      where what = ${what}`,
  ))!.count;

/** Compares InRelease, not generations: several changes may become one generation. */
async function untilServed(
  { database, distributions }: Installation,
  files: readonly CorpusFile[],
): Promise<void> {
  const wanted = files
    .filter((file) => file.path.endsWith('/InRelease'))
    .map((file) => file.sha256);
  for (const deadline = Date.now() + SETTLE_MS; ; await sleep(200)) {
    const { served, failed } = (await one(database.read, countsOf(wanted)))!;
    if (served === distributions.length) return;
    if (Date.now() > deadline)
      throw new Error(
        `${served} of ${distributions.length} lanes serve the last release, ${failed} failed`,
      );
  }
}

/** Lanes that serve one of these InRelease (SHA-256, hex), and lanes that failed. */
const countsOf = (inReleases: readonly string[]) => sql<{ served: number; failed: number }>`
  select
    count(*) filter (
      where r.state = 'synced'
      and encode(sha256(s.in_release), 'hex') = any(${inReleases}::text[])
    ) as served,
    count(*) filter (where r.state = 'failed') as failed
  from distribution_replications r
  left join distribution_snapshots s
    on s.distribution_id = r.distribution_id
    and s.generation = r.served_generation`;
