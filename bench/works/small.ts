/**
 * 20,000 blobs of 2 to 20 KB: first sync; then a poll that finds nothing, everything read back, and
 * 1 % of the packages changed.
 */
import { openCorpus, type Corpus } from '../corpus.ts';
import { openProfile, type Profiling } from '../profiles.ts';
import { runFloor } from '../run-floor.ts';
import { sizedName, type Bench, type WorkGroup } from '../work.ts';
import { openWorld, type World } from '../world.ts';
import { copyOnce, timePeer, type Copies } from './contenders.ts';
import { measurePolls } from './polls.ts';
import { timeDebgeo } from './time-debgeo.ts';

const BLOBS = 20_000;
const PEERS = ['rclone', 'debmirror + rclone'];
/** Behind one look the next waits a second (`gatherMs`): a change that comes alone does not. */
const ALONE_MS = 1_100;

let corpus: Corpus;

export const small: WorkGroup = {
  works: ['first-small', 'nothing-changed', 'verify', 'delta'],
  async prepare({ stage, sized }) {
    const made = sized(BLOBS);
    corpus = await openCorpus(
      { name: sizedName('small', made), packages: { made, bytes: [2_000, 20_000] }, releases: 1 },
      stage.say,
    );
  },
  async round(bench, round) {
    const profile = openProfile(bench, 'first-small', round);
    const world = await openWorld(bench.stage, { corpus, sites: 1, ...profile.options });
    let copies: Copies | null = null;
    try {
      const first = () => profile.during('first-small', () => world.update());
      await timeDebgeo(bench, 'first-small', round, world, first, { blobs: corpus.files.length });
      const archiveUrl = await bench.stage.archive.serve(corpus);
      copies = await copyOnce(bench, round, 'first-small', corpus, archiveUrl, PEERS);
      if (bench.book.wants('nothing-changed')) await nothingChanged(bench, round, world, copies);
      if (bench.book.wants('verify')) await verify(bench, round, world, copies, profile);
      if (bench.book.wants('delta')) await delta(bench, round, world, copies, profile);
    } finally {
      await copies?.close();
      await world.close();
    }
  },
};

async function nothingChanged(
  bench: Bench,
  round: number,
  world: World,
  { peers }: Copies,
): Promise<void> {
  const { book } = bench;
  await measurePolls(bench, round, world);
  await book.time('nothing-changed', 'debgeo update --wait (whole process)', round, () =>
    world.updateByCommand(),
  );
  for (const peer of peers) await timePeer(book, 'nothing-changed', round, peer);
}

async function verify(
  bench: Bench,
  round: number,
  world: World,
  { archiveUrl, places }: Copies,
  profile: Profiling,
): Promise<void> {
  const { stage, book } = bench;
  await timeDebgeo(bench, 'verify', round, world, () =>
    profile.during('verify', () => world.verify()),
  );
  await book.time('verify', 'floor', round, () =>
    runFloor(stage, 'verify', archiveUrl, corpus.files, places.slice(0, 1)),
  );
}

async function delta(
  bench: Bench,
  round: number,
  world: World,
  { peers }: Copies,
  profile: Profiling,
): Promise<void> {
  const { stage, book } = bench;
  await new Promise((resolve) => setTimeout(resolve, ALONE_MS));
  await stage.archive.release(corpus, 1);
  const changed = corpus.releases[0]!.length;
  await timeDebgeo(
    bench,
    'delta',
    round,
    world,
    () => profile.during('delta', () => world.update()),
    { 'changed files': changed },
  );
  for (const peer of peers) await timePeer(book, 'delta', round, peer);
}
