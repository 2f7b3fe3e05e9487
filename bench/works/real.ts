/** The first sync of about 480 real packages, 258 MB. */
import { openCorpus, type Corpus } from '../corpus.ts';
import { openInstallation } from '../installation.ts';
import { openProfile } from '../profiles.ts';
import { sizedName, type WorkGroup } from '../work.ts';
import { copyOnce } from './contenders.ts';
import { timeDebgeo } from './time-debgeo.ts';

const PACKAGES = 480;
const PEERS = ['rclone', 'debmirror + rclone', 'aptly'];

let corpus: Corpus;

export const real: WorkGroup = {
  works: ['first-real'],
  async prepare({ testbed, sized }) {
    const count = sized(PACKAGES);
    corpus = await openCorpus(
      { name: sizedName('real', count), packages: { real: count } },
      testbed.say,
    );
  },
  async round(bench, round) {
    const profile = openProfile(bench, 'first-real', round);
    const installation = await openInstallation(bench.testbed, {
      corpus,
      sites: 1,
      ...profile.options,
    });
    const facts = {
      blobs: corpus.files.length,
      bytes: corpus.files.reduce((sum, file) => sum + file.size, 0),
    };
    try {
      const first = () => profile.during('first-real', () => installation.update());
      await timeDebgeo(bench, 'first-real', round, installation, first, facts);
      const copies = await copyOnce(
        bench,
        round,
        'first-real',
        corpus,
        await bench.testbed.archive.serve(corpus),
        PEERS,
      );
      await copies.close();
    } finally {
      await installation.close();
    }
  },
};
