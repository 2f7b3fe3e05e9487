/**
 * Runs a table of hostile cases through one world, and says of each whether it was refused, and
 * what it changed.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

import { sql } from 'kysely';

import { one } from '../../../src/database/sql.ts';
import type { DistributionStatus } from '../../../src/database/views/status.ts';
import { ruleOf, type ErrorCode } from '../../../src/domain/errors.ts';
import { connectTemporal } from '../../../src/temporal/connection.ts';
import { look } from '../../../src/temporal/updates.ts';
import type { World } from '../world.ts';
import type { Hand, HostileArchive } from './hostile-archive.ts';
import type { HostileCase } from './hostile-case.ts';

export interface Verdict {
  readonly hostile: HostileCase;
  /** Taken for good: as a release, or by a site. */
  readonly accepted: boolean;
  /** A site or the catalog is not what it was. */
  readonly changed: boolean;
  /** All that is not as it should be; empty where it is refused as the table says. */
  readonly faults: readonly string[];
  readonly ms: number;
  readonly line: string;
}

interface Stage {
  readonly world: World;
  readonly archive: HostileArchive;
  readonly hand: Hand;
}

/**
 * Captured rows, without the bytes of indices: what was fetched of a refused release may stay
 * there; no snapshot names it.
 */
const CATALOG = [
  'distribution_snapshots',
  'snapshot_indices',
  'paths',
  'blobs',
  'snapshot_blobs',
  'blob_registry',
  'published_names',
  'publications',
];
const MUTATIONS = ['PUT', 'DELETE', 'POST', 'PATCH'];

export async function* runCases(
  stage: Stage,
  cases: readonly HostileCase[],
): AsyncGenerator<Verdict, void, undefined> {
  const { temporalAddress: address, namespace, suite } = stage.world;
  const client = await connectTemporal({ address, namespace });
  const lookNow = (): ReturnType<typeof look> => look(client, suite);
  try {
    let before = await stateOf(stage.world);
    for (const hostile of cases) {
      const { after, ...verdict } = await runCase(stage, hostile, before, lookNow);
      before = after;
      yield verdict;
    }
  } finally {
    await client.connection.close();
  }
}

async function runCase(
  { world, archive, hand }: Stage,
  hostile: HostileCase,
  before: State,
  lookNow: () => ReturnType<typeof look>,
): Promise<Verdict & { readonly after: State }> {
  const { captured, code } = hostile;
  const at = hostile.at ?? 'http';
  const over = await hostile.over(hand); // before the clock runs: bombs take a while to make
  const incidentsBefore = await incidentsOf(world, code);
  for (const site of world.sites.values()) await site.proxy.clear();

  const peak = peakBytes();
  const began = performance.now();
  await archive.lay(over, at);
  await world.tune({
    archiveUrl: at === 'folder' ? pathToFileURL(archive.mirror).href : archive.url,
  });
  const found = await lookNow();
  const settled =
    captured === undefined || found.generation === undefined
      ? null
      : await lanesEnded(world, found.generation);
  const ms = Math.round(performance.now() - began);
  const grown = peakBytes() - peak;
  const after = await stateOf(world);

  const failures = settled === null ? [found.report] : settled.map(({ failure }) => failure);
  const accepted =
    settled === null ? found.outcome !== 'failed' : settled.some(({ isServed }) => isServed);
  const changes =
    captured === undefined ? differences(before, after) : differencesServed(before, after);
  const writes = captured === undefined ? await writesAt(world) : [];
  const faults = [
    ...(accepted ? ['accepted'] : []),
    ...changes.map((what) => `${what} changed`),
    ...writes.map((what) => `written: ${what}`),
    ...faultsOfRefusal(code, failures),
    ...((await incidentsOf(world, code)) > incidentsBefore ? [] : ['no incident on record']),
  ];

  const changed = changes.length + writes.length > 0;
  const line = [
    (accepted ? 'accepted' : changed ? 'changed' : 'refused').padEnd(9),
    hostile.group.padEnd(10),
    hostile.name.padEnd(58),
    codesOf(failures).join(', ').padEnd(22),
    `exit ${ruleOf(code).exit}`,
    `${String(ms).padStart(6)} ms`,
    `${String(Math.round(grown / 1e6)).padStart(4)} MB`,
  ].join(' ');
  return {
    hostile,
    accepted,
    changed,
    faults,
    ms,
    after,
    line: [line, ...faults].join('\n  fault: '),
  };
}

type Failure =
  | { code?: string; message?: string; expected?: string | null; found?: string | null }
  | undefined
  | null;

const codesOf = (failures: readonly Failure[]): string[] => [
  ...new Set(failures.map((report) => report?.code ?? 'none')),
];

/** What is wrong with how it was refused: the code, what the errors say, and the rule behind it. */
function faultsOfRefusal(code: ErrorCode, failures: readonly Failure[]): string[] {
  const codes = codesOf(failures).join(', ');
  const isMute = failures.some(
    (report) => !report?.message || (report.expected ?? report.found) == null,
  );
  const { exit, remedy } = ruleOf(code);
  return [
    ...(codes === code ? [] : [`expected ${code}, found ${codes}`]),
    ...(isMute ? ['does not say what was found'] : []),
    ...([1, 3].includes(exit) && remedy !== ''
      ? []
      : ['neither refused nor failed, or without a remedy']),
  ];
}

const ENDED_MS = 60_000;

/**
 * Each site serves the generation, or has failed at it: a lane that still waits after another
 * failure is told to go on.
 */
async function lanesEnded(world: World, generation: number): Promise<Ended[]> {
  const endedOf = ({ sites, incidents }: DistributionStatus): Ended[] =>
    sites.map(({ site, served }) => ({
      isServed: served === generation,
      failure: incidents.find(
        (incident) => incident.site === site && incident.generation === generation,
      ),
    }));
  const hasEnded = ({ isServed, failure }: Ended): boolean => isServed || failure !== undefined;

  for (const deadline = Date.now() + ENDED_MS; ; await sleep(500)) {
    const now = await world.status();
    const all = endedOf(now);
    if (all.every(hasEnded)) return all;
    if (Date.now() > deadline)
      assert.fail(`no site serves or fails at ${generation}: ${JSON.stringify(now, null, 1)}`);
    // again and again: what a newer release woke may fail at the older one meanwhile
    for (const [position, ended] of all.entries()) {
      const { site, state } = now.sites[position]!;
      if (state === 'failed' && !hasEnded(ended)) await world.command('retry', site);
    }
  }
}

interface Ended {
  readonly isServed: boolean;
  /**
   * As the incident says it, which names the generation; the lane's own row may be of another
   * moment.
   */
  readonly failure: DistributionStatus['incidents'][number] | undefined;
}

/** How often this code is on record. */
const incidentsOf = async (world: World, code: string): Promise<number> =>
  (await world.incidents(code)).reduce((sum, { times }) => sum + times, 0);

/** The most memory that this process ever had: worker, archive and cases. */
export const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;

interface State {
  /** By site and name: ETag and length. */
  readonly sites: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** By table: how many rows, and a digest of all of them. */
  readonly catalog: Readonly<Record<string, string>>;
  readonly generation: number;
  readonly lanes: readonly (readonly [string, number, number, string, number])[];
}

async function stateOf(world: World): Promise<State> {
  const [status, contents, catalog] = await Promise.all([
    world.status(),
    Promise.all(
      [...world.sites.values()].map(async (site) => [site.name, await site.contents()] as const),
    ),
    Promise.all(CATALOG.map(async (table) => [table, await digestOf(world, table)] as const)),
  ]);
  return {
    sites: new Map(contents),
    catalog: Object.fromEntries(catalog),
    generation: status.generation,
    lanes: status.sites.map(
      (site) => [site.site, site.served, site.target, site.state, site.verified] as const,
    ),
  };
}

async function digestOf(world: World, table: string): Promise<string> {
  const found = await one(
    world.database.read,
    sql<{ digest: string }>`
      select count(*) || ' rows '
             || coalesce(md5(string_agg(t::text, chr(10) order by t::text)), '') as digest
      from ${sql.table(table)} t`,
  );
  return found!.digest;
}

const differences = (before: State, after: State): string[] => [
  ...[...before.sites]
    .filter(([site, blobs]) => !isDeepStrictEqual(blobs, after.sites.get(site)))
    .map(([site]) => site),
  ...CATALOG.filter((table) => before.catalog[table] !== after.catalog[table]),
  ...(before.generation === after.generation ? [] : ['generation']),
  ...(isDeepStrictEqual(before.lanes, after.lanes) ? [] : ['what lanes say']),
];

/**
 * Immutable files may have come; whatever was there is as it was, and nothing new is named to
 * clients.
 */
const differencesServed = (before: State, after: State): string[] => [
  ...[...before.sites].flatMap(([site, blobs]) => [
    ...[...blobs]
      .filter(([name, version]) => after.sites.get(site)!.get(name) !== version)
      .map(([name]) => `${site}: ${name}`),
    ...[...after.sites.get(site)!.keys()]
      .filter((name) => !blobs.has(name) && !/^debian\/(?:pool\/|dists\/.*\/by-hash\/)/.test(name))
      .map((name) => `${site}: ${name}`),
  ]),
  ...(isDeepStrictEqual(
    before.lanes.map(([site, served]) => [site, served]),
    after.lanes.map(([site, served]) => [site, served]),
  )
    ? []
    : ['what a site serves']),
];

const writesAt = async (world: World): Promise<string[]> =>
  (await Promise.all([...world.sites.values()].map((site) => site.proxy.requests())))
    .flat()
    .filter(({ method }) => MUTATIONS.includes(method))
    .map(({ method, path }) => `${method} ${path}`);
