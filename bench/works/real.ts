/** About 480 real packages, 258 MB: first sync. */
import { openCorpus, type Corpus } from '../corpus.ts';
import { openProfile } from '../profiles.ts';
import { sizedName, type WorkGroup } from '../work.ts';
import { openWorld } from '../world.ts';
import { copyOnce } from './contenders.ts';
import { timeDebgeo } from './time-debgeo.ts';

const PACKAGES = 480;
const PEERS = ['rclone', 'debmirror + rclone', 'aptly'];

let corpus: Corpus;

export const real: WorkGroup = {
  works: ['first-real'],
  async prepare({ stage, sized }) {
    const count = sized(PACKAGES);
    corpus = await openCorpus(
      { name: sizedName('real', count), packages: { real: count } },
      stage.say,
    );
  },
  async round(bench, round) {
    const profile = openProfile(bench, 'first-real', round);
    const world = await openWorld(bench.stage, { corpus, sites: 1, ...profile.options });
    const facts = {
      blobs: corpus.files.length,
      bytes: corpus.files.reduce((sum, file) => sum + file.size, 0),
    };
    try {
      const first = () => profile.during('first-real', () => world.update());
      await timeDebgeo(bench, 'first-real', round, world, first, facts);
      const copies = await copyOnce(
        bench,
        round,
        'first-real',
        corpus,
        await bench.stage.archive.serve(corpus),
        PEERS,
      );
      await copies.close();
    } finally {
      await world.close();
    }
  },
};
