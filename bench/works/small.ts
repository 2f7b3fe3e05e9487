/**
 * 20,000 blobs of 2 to 20 KB: the first sync; then polls that find nothing changed, a verification
 * of everything, and a release that changes 1 % of the packages.
 */
import { openCorpus, type Corpus } from '../corpus.ts';
import { openInstallation, type Installation } from '../installation.ts';
import { openProfile, type Profiling } from '../profiles.ts';
import { runFloor } from '../run-floor.ts';
import { sizedName, type Bench, type WorkGroup } from '../work.ts';
import { copyOnce, timePeer, type Copies } from './contenders.ts';
import { measurePolls } from './polls.ts';
import { timeDebgeo } from './time-debgeo.ts';

const BLOBS = 20_000;
const PEERS = ['rclone', 'debmirror + rclone'];
/** Longer than `gatherMs`, the second that debgeo waits between two looks. */
const ALONE_MS = 1_100;

let corpus: Corpus;

export const small: WorkGroup = {
  works: ['first-small', 'nothing-changed', 'verify', 'delta'],
  async prepare({ testbed, sized }) {
    const made = sized(BLOBS);
    corpus = await openCorpus(
      { name: sizedName('small', made), packages: { made, bytes: [2_000, 20_000] }, releases: 1 },
      testbed.say,
    );
  },
  async round(bench, round) {
    const profile = openProfile(bench, 'first-small', round);
    const installation = await openInstallation(bench.testbed, {
      corpus,
      sites: 1,
      ...profile.options,
    });
    let copies: Copies | null = null;
    try {
      const first = () => profile.during('first-small', () => installation.update());
      await timeDebgeo(bench, 'first-small', round, installation, first, {
        blobs: corpus.files.length,
      });
      const archiveUrl = await bench.testbed.archive.serve(corpus);
      copies = await copyOnce(bench, round, 'first-small', corpus, archiveUrl, PEERS);
      if (bench.book.wants('nothing-changed'))
        await nothingChanged(bench, round, installation, copies);
      if (bench.book.wants('verify')) await verify(bench, round, installation, copies, profile);
      if (bench.book.wants('delta')) await delta(bench, round, installation, copies, profile);
    } finally {
      await copies?.close();
      await installation.close();
    }
  },
};

async function nothingChanged(
  bench: Bench,
  round: number,
  installation: Installation,
  { peers }: Copies,
): Promise<void> {
  const { book } = bench;
  await measurePolls(bench, round, installation);
  await book.time('nothing-changed', 'debgeo update --wait (whole process)', round, () =>
    installation.updateByCommand(),
  );
  for (const peer of peers) await timePeer(book, 'nothing-changed', round, peer);
}

async function verify(
  bench: Bench,
  round: number,
  installation: Installation,
  { archiveUrl, places }: Copies,
  profile: Profiling,
): Promise<void> {
  const { testbed, book } = bench;
  await timeDebgeo(bench, 'verify', round, installation, () =>
    profile.during('verify', () => installation.verify()),
  );
  await book.time('verify', 'floor', round, () =>
    runFloor(testbed, 'verify', archiveUrl, corpus.files, places.slice(0, 1)),
  );
}

async function delta(
  bench: Bench,
  round: number,
  installation: Installation,
  { peers }: Copies,
  profile: Profiling,
): Promise<void> {
  const { testbed, book } = bench;
  await new Promise((resolve) => setTimeout(resolve, ALONE_MS));
  await testbed.archive.release(corpus, 1);
  const changed = corpus.releases[0]!.length;
  await timeDebgeo(
    bench,
    'delta',
    round,
    installation,
    () => profile.during('delta', () => installation.update()),
    { 'changed files': changed },
  );
  for (const peer of peers) await timePeer(book, 'delta', round, peer);
}
