import { byHashMembers, samplePool } from '../../src/database/catalog/members.ts';
import { publishedNamesOf, readSnapshot } from '../../src/database/catalog/snapshots.ts';
import { finishReplication } from '../../src/database/replications/attempts.ts';
import type { Blob } from '../../src/domain/blob.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { byStrength } from '../../src/domain/hashes.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { suiteFolder } from '../../src/domain/release.ts';
import type { Replication } from '../../src/domain/replication.ts';
import { releaseSetPaths } from '../../src/domain/repo-path.ts';
import type { PublishedName } from '../../src/domain/snapshot.ts';
import type { Deps } from '../deps.ts';
import { inParallel } from '../in-parallel.ts';
import { assertRightAtSite } from './assert-right-at-site.ts';
import { NOT_FOUND, readShown } from './read-shown.ts';
import { atSite, inStep, type SiteStep, type StepAnswer, type StepInput } from './step.ts';

/**
 * The probe as an activity of its own: for runs that began before it was joined to publishing.
 * @throws NOT_VERIFIED the generation is not published
 */
export const createProbeSite =
  (deps: Deps) =>
  (input: StepInput): Promise<StepAnswer> =>
    inStep(deps, input, async (step) => {
      const { served, publishing } = step.row;
      if (served !== input.generation || publishing)
        throw new DebgeoError('NOT_VERIFIED', `generation ${input.generation} is not published`, {
          found: `generation ${served} is served`,
        });
      return { more: false, repair: 0, row: await probe(deps, await atSite(deps, step)) };
    });

/** What readers should find. */
export interface Published {
  readonly names: readonly PublishedName[];
  /** Every index was captured by its hash. */
  readonly untorn: boolean;
}

/**
 * Reads the site anonymously at its public URL, as apt does: the Release set; indices by their
 * strongest hash, or by name where apt would; absent names, which must be 404; some pool files.
 * With that the replication of this generation is finished. Given twice: reads again.
 * @throws SITE_NOT_PUBLIC what was written is not there for readers
 * @throws SITE_SERVES_OTHER readers get other bytes, or a file that should not be there
 * @throws BLOB_CORRUPT so does the site itself, of an immutable file: the next attempt repairs it
 */
export async function probe(
  deps: Deps,
  step: SiteStep,
  published?: Published,
): Promise<Replication> {
  await readAsApt(deps, step, published ?? (await readPublished(deps, step)));
  return finishReplication(deps.database, step.at, step.key);
}

async function readPublished(deps: Deps, step: SiteStep): Promise<Published> {
  const { read } = deps.database;
  const { distributionId, generation } = step.key;
  const folder = suiteFolder(step.distribution.suite);
  const names = await publishedNamesOf(read, distributionId, generation, folder);
  const snapshot = await readSnapshot(read, distributionId, generation);
  return { names, untorn: snapshot?.untorn ?? false };
}

async function readAsApt(deps: Deps, step: SiteStep, { names, untorn }: Published): Promise<void> {
  const { read } = deps.database;
  const folder = suiteFolder(step.distribution.suite);
  const releaseSet = releaseSetPaths(folder);
  const ofReleaseSet = names.filter((name) => releaseSet.includes(name.path));
  const indices = names.filter((name) => !ofReleaseSet.includes(name));
  const sampled = sampleIndices(indices);

  for (const name of ofReleaseSet)
    await assertShown(step, name, 'SITE_NOT_PUBLIC', step.context.signal);
  const blobs = [
    ...(untorn ? await strongestByHash(deps, step, sampled) : []),
    ...(await samplePool(read, step.key, LIMITS.probePoolFiles)),
  ];
  const absent = indices.filter((name) => name.sha256 === null).slice(0, LIMITS.probeIndices);
  const { signal } = step.context;
  await inParallel(
    [...(untorn ? [] : sampled), ...absent],
    LIMITS.laneConcurrency,
    signal,
    (name, ending) => assertShown(step, name, 'SITE_SERVES_OTHER', ending),
  );
  await inParallel(blobs, LIMITS.laneConcurrency, signal, async (blob, ending) => {
    if ((await readShown(step, blob, ending)) === blob.sha256) return;
    await assertRightAtSite(deps, step, blob);
    await assertShown(step, blob, 'SITE_SERVES_OTHER', ending);
  });
}

/**
 * @param whenMissing code of a file that stands at the site and is 404 for readers: the site is not
 *   public, or, once readers were shown other files, serves something else
 */
async function assertShown(
  step: SiteStep,
  name: PublishedName,
  whenMissing: 'SITE_NOT_PUBLIC' | 'SITE_SERVES_OTHER',
  signal: AbortSignal,
): Promise<void> {
  const expected = name.sha256 ?? NOT_FOUND;
  const found = await readShown(step, name, signal);
  if (found === expected) return;
  throw new DebgeoError(
    found === NOT_FOUND ? whenMissing : 'SITE_SERVES_OTHER',
    `${step.publicUrl} does not show ${name.path} as it was published`,
    {
      expected,
      found,
      state: `generation ${step.key.generation} was written; readers get something else`,
    },
  );
}

/**
 * The smallest existing indices, as many as LIMITS allow: the same ones each time, and Packages
 * among them.
 */
function sampleIndices(
  indices: readonly PublishedName[],
): (PublishedName & { sha256: NonNullable<PublishedName['sha256']> })[] {
  const existing = indices.flatMap((name) =>
    name.sha256 === null ? [] : [{ ...name, sha256: name.sha256 }],
  );
  const sampled = existing
    .toSorted((a, b) => a.size - b.size || (a.path < b.path ? -1 : 1))
    .slice(0, LIMITS.probeIndices);
  let bytes = 0;
  return sampled.filter((name) => (bytes += name.size) <= LIMITS.probeBytes);
}

/**
 * Of each index the one by-hash path that apt asks for: the strongest hash that Release lists for
 * it.
 */
async function strongestByHash(
  deps: Deps,
  step: SiteStep,
  indices: readonly (PublishedName & { sha256: Blob['sha256'] })[],
): Promise<Blob[]> {
  const members = await byHashMembers(
    deps.database.read,
    step.key,
    indices.map((index) => index.sha256),
  );
  return indices.flatMap((index) => {
    const folder = index.path.slice(0, index.path.lastIndexOf('/') + 1);
    const ofIndex = members.filter(
      (blob) => blob.sha256 === index.sha256 && blob.path.startsWith(`${folder}by-hash/`),
    );
    return ofIndex.toSorted((a, b) => byStrength(a.path, b.path)).slice(0, 1);
  });
}
