/** 5,000 small blobs to two and to four sites; the floor reads each once and writes it to all. */
import { openCorpus, type Corpus } from '../corpus.ts';
import { openInstallation } from '../installation.ts';
import { openProfile } from '../profiles.ts';
import { runFloor } from '../run-floor.ts';
import { sizedName, type WorkGroup } from '../work.ts';

const BLOBS = 5_000;
const SITES = { 'two-sites': 2, 'four-sites': 4 } as const;

let corpus: Corpus;

export const manySites: WorkGroup = {
  works: Object.keys(SITES),
  async prepare({ testbed, sized }) {
    const made = sized(BLOBS);
    corpus = await openCorpus(
      { name: sizedName('small', made), packages: { made, bytes: [2_000, 20_000] }, releases: 1 },
      testbed.say,
    );
  },
  async round(bench, round) {
    const { testbed, book } = bench;
    for (const [work, sites] of Object.entries(SITES)) {
      if (!book.wants(work)) continue;
      const profile = openProfile(bench, work, round);
      const installation = await openInstallation(testbed, { corpus, sites, ...profile.options });
      try {
        let requests = 0;
        await testbed.archive.requestsSinceLastCall();
        await book.time(
          work,
          'debgeo',
          round,
          async () => {
            const seconds = await profile.during(work, () => installation.update());
            requests = await testbed.archive.requestsSinceLastCall();
            return seconds;
          },
          () => ({ blobs: corpus.files.length, 'archive requests': requests }),
        );
      } finally {
        await installation.close();
      }
      const places = await testbed.freshPlaces(sites);
      const archiveUrl = await testbed.archive.serve(corpus);
      await book.time(work, 'floor', round, () =>
        runFloor(testbed, 'copy', archiveUrl, corpus.files, places),
      );
      await Promise.all(places.map(({ container }) => container.delete()));
    }
  },
};
