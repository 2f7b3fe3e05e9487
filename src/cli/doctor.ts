/**
 * `debgeo doctor`: asks everything that debgeo depends on and says what is wrong and what to do. It changes nothing but one small blob per site,
 * below `.debgeo/`, which it removes again.
 */
import { randomBytes } from 'node:crypto';
import type { JoinedDeps } from '../deps.ts';
import { createDeps } from '../deps.ts';
import { readDistribution } from '../database/catalog.ts';
import { DebgeoError } from '../domain/errors.ts';
import { judgeAge } from '../domain/freshness.ts';
import { parseRepoPath } from '../domain/repo-path.ts';
import { sha256Of } from '../domain/sha256.ts';
import { suiteFolder } from '../domain/release.ts';
import { verifyReleaseSet } from '../archive/verify-signature.ts';
import { readPublic } from '../site/read-public.ts';
import { QUEUE } from '../../workflows/messages.ts';
import { type ReleaseAge, readReleaseAge } from '../database/stale-releases.ts';
import { listDistributions, listSiteQueues } from '../database/work.ts';
import { describePollers, queryStatus } from '../temporal.ts';
import { ago, duration } from './amount.ts';
import { configOf, withTemporal, type Options } from './connect.ts';
import { describeError } from './print-error.ts';

const DEADLINE_MS = 30_000;

export const doctor = async (options: Options): Promise<number> => {
  let faults = 0;
  const check = async <T>(what: string, work: () => Promise<T>, say: (result: T) => string): Promise<T | undefined> => {
    try {
      const result = await work();
      process.stdout.write(`ok     ${what}: ${say(result)}\n`);
      return result;
    } catch (error) {
      faults += 1;
      const text = error instanceof DebgeoError ? describeError(error.report) : String(error);
      process.stdout.write(`wrong  ${what}: ${text.replaceAll('\n', '\n       ')}\n`);
      return undefined;
    }
  };

  const config = configOf(options);
  const pollers = await check('Temporal', () => countPollers(options, QUEUE), polling);
  const deps = await check(
    'database',
    () => createDeps(config),
    () => 'answers, its tables are at this version',
  );
  if (deps === undefined) return 1;
  try {
    const distributions = await listDistributions(deps.database);
    for (const { site, queue } of await listSiteQueues(deps.database)) {
      await check(
        `site ${site}`,
        () => tryOut(deps, site),
        () => 'writes, reads back, serves anonymously, deletes',
      );
      if (pollers !== undefined) await check(`worker of ${site}`, () => countPollers(options, queue), polling);
    }
    for (const distribution of distributions) {
      await check(
        `archive of ${distribution}`,
        () => authenticate(deps, distribution),
        (signers) => `answers, signed by ${signers.join(', ') || 'nobody, which is allowed'}`,
      );
      await check(`newest release of ${distribution}`, () => ageOf(deps, distribution), aged);
      if (pollers !== undefined)
        await check(
          `workflow of ${distribution}`,
          () => withTemporal(options, (client) => queryStatus(client, distribution)),
          (roster) => (roster === null ? 'does not run yet; a worker starts it within a minute' : 'runs, and a worker answers for it'),
        );
    }
  } finally {
    await deps.close();
  }
  return faults === 0 ? 0 : 1;
};

const countPollers = (options: Options, queue: string): Promise<number> =>
  withTemporal(options, async (client) => {
    const pollers = await describePollers(client, queue);
    if (pollers === 0) throw new DebgeoError('NO_WORKER', `no worker polls ${queue}`, { expected: 'a worker', found: 'none' });
    return pollers;
  });

const polling = (count: number): string => `answers, ${count} ${count === 1 ? 'worker polls' : 'workers poll'}`;

const tryOut = async (deps: JoinedDeps, name: string): Promise<void> => {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const { store, publicUrl } = await deps.siteOf(name);
  const bytes = randomBytes(64);
  const path = parseRepoPath(`.debgeo/doctor-${bytes.toString('hex', 0, 8)}`);
  const content = {
    size: bytes.length,
    sha256: sha256Of(bytes),
    bytes: (async function* () {
      yield bytes;
    })(),
    contentType: 'application/octet-stream',
    cacheControl: 'no-store',
  };
  const written = await store.put(path, content, 'nothing', signal);
  if (written === 'conflict') throw new DebgeoError('FOREIGN_WRITE', `${path} exists already`);
  try {
    const back = await store.checksum(path, signal);
    if (back === null || back === 'changed' || back.sha256 !== content.sha256)
      throw new DebgeoError('SITE_REFUSED', 'what was written is not what is read back');
    const seen = await readPublic(publicUrl, path, bytes.length, signal);
    if (seen?.sha256 !== content.sha256)
      throw new DebgeoError('SITE_NOT_PUBLIC', 'the public URL does not serve what was written', {
        expected: content.sha256,
        found: seen?.sha256 ?? '404',
      });
  } finally {
    await store.remove(path, written.etag, signal);
  }
};

/** Of what was captured: an archive that somebody holds back answers as before. */
const ageOf = async (deps: JoinedDeps, name: string): Promise<ReleaseAge | null> => {
  const distribution = await readDistribution(deps.database.read, name);
  const age = distribution && (await readReleaseAge(deps.database.read, distribution.id));
  const stale = age && judgeAge(age.releasedAt, age.staleAfterMs, new Date());
  if (stale !== null) throw new DebgeoError(stale.code, stale.message, stale);
  return age;
};

const aged = (age: ReleaseAge | null): string =>
  age === null
    ? 'nothing was captured yet'
    : `generation ${age.generation}, from ${ago(age.releasedAt.getTime(), Date.now())}; ${age.staleAfterMs === null ? 'no `stale_after` is set, so no age is too old' : `too old after ${duration(age.staleAfterMs)}`}`;

const authenticate = async (deps: JoinedDeps, name: string): Promise<readonly string[]> => {
  const distribution = await readDistribution(deps.database.read, name);
  if (distribution === null) throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${name}`);
  const found = await deps
    .archiveOf(distribution.archive)
    .fetchReleaseSet(suiteFolder(distribution.suite), null, AbortSignal.timeout(DEADLINE_MS));
  if (found === 'unchanged') throw new DebgeoError('UNKNOWN', 'an unconditional request was answered with 304');
  return (await verifyReleaseSet(found.releaseSet, distribution.archive.keyring, new Date())).signers;
};
