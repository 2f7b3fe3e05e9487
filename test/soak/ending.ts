/**
 * The end of a soak: nothing is killed and nothing rots any more; it waits until all is whole, and
 * compares what `debgeo status` says with what an independent walk of each site finds.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { readStatus, type DistributionStatus } from '../../src/database/views/status.ts';
import { walkIndices, walkSite, type SiteWalk } from '../../src/witness/walk-site.ts';
import type { Reader } from './clients.ts';
import type { RottenFile } from './rot.ts';
import type { Stage } from './stage.ts';

export interface Corruptions {
  readonly made: number;
  readonly byHow: Readonly<Record<string, number>>;
  readonly repaired: number;
  /** Of those that were repaired: as the incident BLOB_CORRUPT. */
  readonly onRecord: number;
  /** No release of the site names them: pruned, or left by a database that was restored. */
  readonly pruned: number;
  readonly left: number;
}

interface Place {
  readonly site: string;
  readonly suite: string;
  readonly status: string;
  readonly walk: string;
}

export interface Ending {
  /** Null: not within its time. */
  readonly secondsUntilWhole: number | null;
  /** Until a pass of each scrub that began behind the last fault was complete, too. */
  readonly waitedSeconds: number;
  /** What lacked when it was last looked at. */
  readonly lacks: string;
  readonly places: readonly Place[];
  readonly differences: readonly string[];
  /** Members that a served release names and that are gone or wrong, releases that did not come. */
  readonly lost: readonly string[];
  /** What status says to be verified, and is not right. */
  readonly wronglyVerified: readonly string[];
}

export interface EndOptions {
  readonly wholeWithinMs: number;
  /** Whether a pass of each scrub must have begun behind the last fault. */
  readonly scrubs: boolean;
  readonly signal: AbortSignal;
  /** For a planted fault: another status than that of debgeo. */
  readonly status?: (real: DistributionStatus[]) => DistributionStatus[];
}

export async function endSoak(stage: Stage, options: EndOptions): Promise<Ending> {
  const start = Date.now();
  const deadline = start + options.wholeWithinMs;
  let lacks = await untilWhole(stage, null, deadline, options.signal);
  const whole = lacks === '' ? Date.now() : null;
  if (whole !== null && options.scrubs)
    lacks = await untilWhole(stage, start, deadline, options.signal);
  const waited = Date.now() - start;
  const compared = await compare(stage, options.status ?? ((real) => real));
  return {
    secondsUntilWhole: whole === null || lacks !== '' ? null : (whole - start) / 1_000,
    waitedSeconds: waited / 1_000,
    lacks,
    ...compared,
  };
}

/** @returns empty: all is whole; else what lacked at the deadline */
async function untilWhole(
  stage: Stage,
  scrubbedSince: number | null,
  deadline: number,
  signal: AbortSignal,
): Promise<string> {
  for (;;) {
    signal.throwIfAborted();
    const lacks = await whatLacks(stage, scrubbedSince).catch(String);
    if (lacks === '' || Date.now() > deadline) return lacks;
    await sleep(500);
  }
}

/** @param scrubbedSince null: the scrubs need not have passed @returns empty: all is whole */
async function whatLacks(stage: Stage, scrubbedSince: number | null): Promise<string> {
  for (const distribution of await readStatus(await stage.database())) {
    const { suite, status, generation, sites } = distribution;
    for (const { site, served, state, scrub } of sites) {
      if (state !== 'synced' || served !== generation)
        return `${site} serves ${served} of ${generation} of ${suite}, ${state}`;
      if (scrubbedSince !== null && (scrub?.lastStartedAt ?? 0) < scrubbedSince)
        return `${site} was not read back since the last fault`;
    }
    if (status !== 'success') return `${suite} is ${status}`;
  }
  await stage.rot.check();
  for (const reader of stage.readers) {
    const walk = await walkIndices(walkOf(stage, reader));
    if (walk.releaseSha256 !== stage.releases.newestRelease(reader.suite))
      return `${reader.site} serves an older InRelease of ${reader.suite}`;
  }
  await forgetUnnamed(stage);
  const [rotten] = stage.rot.open;
  return rotten === undefined ? '' : `${rotten.path} at ${rotten.site} is rotten`;
}

const walkOf = (stage: Stage, { url, suite }: Reader) => ({
  url,
  suite,
  keyring: stage.releases.key.publicBinary,
});

/** What is rotten and named by no release that its site serves. */
async function forgetUnnamed(stage: Stage): Promise<void> {
  const named = new Map<Reader['site'], Set<string>>();
  for (const reader of stage.readers) {
    const { byHash, pool } = await walkIndices(walkOf(stage, reader));
    const of = named.get(reader.site) ?? new Set();
    for (const path of [...byHash, ...pool.keys()]) of.add(path);
    named.set(reader.site, of);
  }
  const newest = stage.releases.newestPaths();
  for (const [site, paths] of named) stage.rot.giveUp(site, new Set([...paths, ...newest]));
}

type Compared = Pick<Ending, 'places' | 'differences' | 'lost' | 'wronglyVerified'>;

async function compare(
  stage: Stage,
  change: (real: DistributionStatus[]) => DistributionStatus[],
): Promise<Compared> {
  const places: Place[] = [];
  const differences: string[] = [];
  const lost: string[] = [];
  const wronglyVerified: string[] = [];
  const statuses = change(await stage.status());
  for (const reader of stage.readers) {
    const { site, suite } = reader;
    const distribution = statuses.find((one) => one.suite === suite);
    const said = distribution?.sites.find((one) => one.site === site);
    const walk = await walkSite(walkOf(stage, reader)).catch(unreadable);
    const isNewest = walk.releaseSha256 === stage.releases.newestRelease(suite);
    const saysNewest = said !== undefined && said.served === distribution?.generation;
    const where = `${site} ${suite}`;
    places.push({
      ...{ site, suite },
      status: `${distribution?.status}, ${said?.verified} of ${said?.members} verified`,
      walk: `${walk.members} right, ${walk.faults.length} wrong${isNewest ? '' : ', older'}`,
    });
    const counted = [said?.members, said?.synced, said?.verified];
    if (counted.some((count) => count !== walk.members))
      differences.push(`${where}: ${counted.join(', ')} of status, ${walk.members} of the walk`);
    if (distribution?.status === 'success' && (walk.faults.length > 0 || !isNewest))
      differences.push(`${where}: success, and the walk finds ${walk.faults[0] ?? 'it older'}`);
    if (saysNewest !== isNewest)
      differences.push(`${where}: generation ${said?.served} served, InRelease is of another`);
    lost.push(...walk.faults.map((fault) => `${where}: ${fault}`));
    if (!isNewest) lost.push(`${where}: the newest release`);
    const surplus = (said?.verified ?? 0) - walk.members;
    for (let nth = 0; isNewest && nth < surplus; nth += 1) wronglyVerified.push(where);
  }
  return { places, differences, lost, wronglyVerified };
}

const unreadable = (error: unknown): SiteWalk => ({
  releaseSha256: '',
  ...{ indices: 0, byHash: 0, absent: 0, poolFiles: 0, members: 0 },
  faults: [String(error)],
});

/** @param onRecord `site path` of every incident that was seen */
export function corruptionsOf(
  files: readonly RottenFile[],
  onRecord: ReadonlySet<string>,
): Corruptions {
  const ended = (end: RottenFile['end']) => files.filter((file) => file.end === end);
  return {
    made: files.length,
    byHow: byCount(files.map(({ how }) => how)),
    repaired: ended('repaired').length,
    onRecord: ended('repaired').filter(({ site, path }) => onRecord.has(`${site} ${path}`)).length,
    pruned: ended('pruned').length,
    left: ended(null).length,
  };
}

export function byCount(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
