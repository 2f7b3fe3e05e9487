/** `npm run bench`: debgeo on a whole stack, the floor and the peers, round by round. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Book } from './book.ts';
import { openCorpus } from './corpus.ts';
import { lastLine } from './last-line.ts';
import { describeMachine } from './machine.ts';
import { readOptions, USAGE, type Options } from './options.ts';
import { describeProfiles } from './profiles.ts';
import { outcomeOf, writeMarkdown, type Report } from './report.ts';
import { runFloor } from './run-floor.ts';
import { openTestbed, type Testbed } from './testbed.ts';
import type { Bench, WorkGroup } from './work.ts';
import { burst } from './works/burst.ts';
import { frozen } from './works/frozen.ts';
import { manySites } from './works/many-sites.ts';
import { memory } from './works/memory.ts';
import { neighbour } from './works/neighbour.ts';
import { parsePlan } from './works/parse-plan.ts';
import { real } from './works/real.ts';
import { scaling } from './works/scaling.ts';
import { small } from './works/small.ts';

const GROUPS: readonly WorkGroup[] = [
  small,
  real,
  manySites,
  parsePlan,
  burst,
  neighbour,
  memory,
  scaling,
  frozen,
];
const RESULTS = fileURLToPath(new URL('results/', import.meta.url));
const WARM_UP_BLOBS = 1_000;
const CONTENDERS = ['floor', 'rclone', 'debmirror + rclone'];
const USAGE_EXIT = 2;

const began = Date.now();
const say = (line: string): void =>
  void process.stderr.write(`${clock(Date.now() - began)}  ${line}\n`);

try {
  const options = readOptions(
    process.argv.slice(2),
    GROUPS.flatMap((group) => group.works),
  );
  await run(options);
} catch (error) {
  if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
  process.stderr.write(`${error.message}\n${USAGE}\n`);
  process.exitCode = USAGE_EXIT;
}

async function run(options: Options): Promise<void> {
  const groups = GROUPS.filter(({ works, onlyByName }) =>
    options.only === null
      ? onlyByName !== true
      : works.some((work) => options.only!.includes(work)),
  );
  const works = new Set(options.only ?? groups.flatMap((group) => group.works));
  const testbed = await openTestbed(say);
  try {
    const book = new Book(works, say);
    const bench: Bench = {
      testbed,
      book,
      sized: (full, least = 1) => Math.max(least, Math.round(full / options.divide)),
      peers: options.peers,
      profileFolder: options.profile ? profileFolder() : null,
    };
    const ready = await prepareGroups(groups, bench);
    await warmUp(bench);
    for (let round = 1; round <= options.rounds; round += 1)
      for (const group of ready)
        if (round <= (group.roundsMax ?? options.rounds)) await group.round(bench, round);
    await finish(options, bench, testbed);
  } finally {
    await testbed.close();
  }
}

/** Groups whose corpora are there; the others are booked as skipped. */
async function prepareGroups(groups: readonly WorkGroup[], bench: Bench): Promise<WorkGroup[]> {
  const ready: WorkGroup[] = [];
  for (const group of groups) {
    try {
      await group.prepare(bench);
      ready.push(group);
    } catch (error) {
      const why = String(error instanceof Error ? error.message : error).split('\n')[0]!;
      for (const work of group.works) bench.book.skip(work, 'all', why);
    }
  }
  return ready;
}

/**
 * Each Azurite copies some files first; otherwise the first round would measure how the servers
 * compile their code.
 */
async function warmUp({ testbed }: Bench): Promise<void> {
  const packages = { made: WARM_UP_BLOBS, bytes: [2_000, 20_000] } as const;
  const corpus = await openCorpus({ name: `small-${WARM_UP_BLOBS}`, packages, releases: 1 }, say);
  const places = [
    ...(await testbed.freshPlaces(1)),
    ...(await Promise.all(CONTENDERS.map((name) => testbed.freshPlaceOf(name)))),
  ];
  const archiveUrl = await testbed.archive.serve(corpus);
  await runFloor(testbed, 'copy', archiveUrl, corpus.files, places);
  await Promise.all(places.map(({ container }) => container.delete()));
}

async function finish(
  options: Options,
  { book, profileFolder }: Bench,
  testbed: Testbed,
): Promise<void> {
  const { measurements, skipped } = book;
  const report: Report = {
    machine: await describeMachine(testbed),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    measurements,
    skipped,
    profiles: profileFolder === null ? [] : describeProfiles(profileFolder),
    lastLine: lastLine(outcomeOf(measurements)),
  };
  const markdown = writeMarkdown(report);
  mkdirSync(RESULTS, { recursive: true });
  const name = `${RESULTS}${report.machine['date']!.replaceAll(/[:.]/g, '-')}`;
  writeFileSync(`${name}.md`, markdown);
  writeFileSync(`${name}.json`, `${JSON.stringify({ ...report, options }, null, 1)}\n`);
  process.stdout.write(`${markdown}\n${name}.md\n${report.lastLine}\n`);
}

function profileFolder(): string {
  const folder = `${RESULTS}profiles-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  mkdirSync(folder, { recursive: true });
  return folder;
}

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return [Math.floor(seconds / 60), seconds % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
}
