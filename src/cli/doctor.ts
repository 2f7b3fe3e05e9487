/**
 * `debgeo doctor`: asks everything that debgeo depends on and says what is wrong and what to do. It changes nothing but one small blob per site,
 * below `.debgeo/`, which it removes again.
 */
import { randomBytes } from 'node:crypto';
import type { JoinedDeps } from '../deps.ts';
import { createDeps } from '../deps.ts';
import { readDistribution } from '../database/catalog.ts';
import { readStatus } from '../database/status.ts';
import { DebgeoError } from '../domain/errors.ts';
import { parseRepoPath } from '../domain/repo-path.ts';
import { sha256Of } from '../domain/sha256.ts';
import { suiteFolder } from '../domain/release.ts';
import { verifyReleaseSet } from '../archive/verify-signature.ts';
import { readPublic } from '../site/read-public.ts';
import { connectTemporal, describePollers } from '../temporal.ts';
import { configOf, type Options } from './connect.ts';
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
      process.stdout.write(`wrong  ${what}: ${text}\n`);
      return undefined;
    }
  };

  const config = configOf(options);
  await check(
    'Temporal',
    () => workflowPollers(config),
    (count) => `answers at ${config.temporal.address}, ${count} ${count === 1 ? 'worker polls' : 'workers poll'}`,
  );
  const deps = await check(
    'database',
    () => createDeps(config),
    () => 'answers, its tables are at this version',
  );
  if (deps === undefined) return 1;
  try {
    const distributions = await readStatus(deps.database);
    for (const site of new Set(distributions.flatMap((one) => one.sites.map((lane) => lane.site))))
      await check(
        `site ${site}`,
        () => tryOut(deps, site),
        () => 'writes, reads back, serves anonymously, deletes',
      );
    for (const { distribution } of distributions)
      await check(
        `distribution ${distribution}`,
        () => authenticate(deps, distribution),
        (signers) => `signed by ${signers.join(', ') || 'nobody, which is allowed'}`,
      );
  } finally {
    await deps.close();
  }
  return faults === 0 ? 0 : 1;
};

const workflowPollers = async (config: ReturnType<typeof configOf>): Promise<number> => {
  const client = await connectTemporal(config.temporal);
  try {
    const pollers = await describePollers(client);
    if (pollers === 0) throw new DebgeoError('NO_WORKER', 'nobody polls the task queue of debgeo', { expected: 'a worker', found: 'none' });
    return pollers;
  } finally {
    await client.connection.close();
  }
};

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

const authenticate = async (deps: JoinedDeps, name: string): Promise<readonly string[]> => {
  const distribution = await readDistribution(deps.database.read, name);
  if (distribution === null) throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${name}`);
  const found = await deps
    .archiveOf(distribution.archive)
    .fetchReleaseSet(suiteFolder(distribution.suite), null, AbortSignal.timeout(DEADLINE_MS));
  if (found === 'unchanged') throw new DebgeoError('UNKNOWN', 'an unconditional request was answered with 304');
  return (await verifyReleaseSet(found.releaseSet, distribution.archive.keyring, new Date())).signers;
};
