/**
 * What apt 2.6 fetches on an update, in its order: the Release set, then each list that Release
 * names, by-hash first. It accepts what apt accepts.
 */
import {
  ask,
  differenceOf,
  HASHES,
  quote,
  readDetached,
  readInRelease,
  readRelease,
  readStanzas,
  suiteFolderOf,
  type ListedFile,
  type ReleaseFields,
} from './ask-as-apt.ts';
import type { ClientOptions } from './client.ts';
import { uncompress } from './uncompress.ts';

/** One accepted state of a suite, replaced as a whole or not at all. */
export interface Lists {
  readonly inReleaseModified: string | null;
  readonly release: ReleaseFields;
  /** Uncompressed, by the path that Release lists for the uncompressed one. */
  readonly indices: ReadonlyMap<string, Buffer>;
  readonly packages: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** apt accepts a Date this far ahead (Acquire::Max-FutureTime). */
const FUTURE_MS_MAX = 10_000;
const EXTENSIONS = ['.xz', '.zst', '.gz', ''] as const;

/** @returns the kept lists, if the site serves the same release or an earlier one */
export async function fetchLists(options: ClientOptions, kept: Lists | null): Promise<Lists> {
  const head = await fetchRelease(options, kept);
  if (
    head === 'unchanged' ||
    (kept !== null && (head.release.date ?? 0) < (kept.release.date ?? 0))
  ) {
    if (kept === null) throw new Error('304 without a list');
    assertDates(kept.release);
    return kept;
  }
  assertDates(head.release);
  const indices = new Map<string, Buffer>();
  for (const stem of wantedStems(options, head.release))
    indices.set(stem, await fetchIndex(options, head.release, stem, kept));
  return { ...head, indices, packages: readPackages(indices) };
}

async function fetchRelease(
  { url, suite, keyring }: ClientOptions,
  kept: Lists | null,
): Promise<'unchanged' | Pick<Lists, 'release' | 'inReleaseModified'>> {
  const folder = suiteFolderOf(suite);
  const inRelease = await ask(url, `${folder}InRelease`, {
    modifiedSince: kept?.inReleaseModified ?? null,
  });
  if (inRelease.status === 304) return 'unchanged';
  if (inRelease.status === 200) {
    return {
      release: readRelease(await readInRelease(inRelease.bytes, keyring)),
      inReleaseModified: inRelease.lastModified,
    };
  }
  if (inRelease.status !== 404) throw new Error(`${inRelease.status} for InRelease`);
  const release = await askWhole(url, `${folder}Release`);
  if (keyring === null)
    return { release: readRelease(release.toString('utf8')), inReleaseModified: null };
  const releaseGpg = await askWhole(url, `${folder}Release.gpg`);
  return {
    release: readRelease(await readDetached(release, releaseGpg, keyring)),
    inReleaseModified: null,
  };
}

/** The lists that Release names; apt asks for none whose uncompressed size is 0. */
function wantedStems(options: ClientOptions, release: ReleaseFields): string[] {
  const { suite, components, architecture, sources = true } = options;
  const flat = ['Packages', ...(sources ? ['Sources'] : [])];
  const ofComponents = components.flatMap((component) => [
    `${component}/binary-${architecture}/Packages`,
    `${component}/binary-all/Packages`,
    ...(sources ? [`${component}/source/Sources`] : []),
    `${component}/i18n/Translation-en`,
    `${component}/Contents-${architecture}`,
  ]);
  return (suite.endsWith('/') ? flat : ofComponents).filter(
    (stem) =>
      release.files.get(stem)?.size !== 0 &&
      EXTENSIONS.some((extension) => (release.files.get(`${stem}${extension}`)?.size ?? 0) > 0),
  );
}

async function fetchIndex(
  options: ClientOptions,
  release: ReleaseFields,
  stem: string,
  kept: Lists | null,
): Promise<Buffer> {
  const listed = release.files.get(stem);
  const keptBytes = kept?.indices.get(stem);
  if (listed !== undefined && keptBytes !== undefined && differenceOf(listed, keptBytes) === null)
    return keptBytes;
  for (const extension of EXTENSIONS) {
    const variant = release.files.get(`${stem}${extension}`);
    const bytes = variant === undefined ? null : await fetchVariant(options, release, variant);
    if (bytes === null) continue;
    const content =
      extension === '' ? bytes : uncompress(bytes, extension.slice(1) as 'xz' | 'zst' | 'gz');
    const difference = listed === undefined ? null : differenceOf(listed, content);
    if (difference !== null) throw new Error(`${stem} out of ${stem}${extension}: ${difference}`);
    return content;
  }
  throw new Error(`404  Not Found for every variant of ${stem}`);
}

/** By-hash under the strongest hash that is listed, then by name; null: neither is there. */
async function fetchVariant(
  { url, suite }: ClientOptions,
  release: ReleaseFields,
  variant: ListedFile,
): Promise<Buffer | null> {
  const folder = suiteFolderOf(suite);
  const strongest = HASHES.find(([table]) => variant.hashes.has(table))?.[0];
  if (release.acquireByHash && strongest !== undefined) {
    const parent = variant.path.replace(/[^/]+$/, '');
    const byHash = `${parent}by-hash/${strongest}/${variant.hashes.get(strongest)}`;
    const answer = await ask(url, `${folder}${byHash}`);
    if (answer.status === 200 && differenceOf(variant, answer.bytes) === null) return answer.bytes;
  }
  const answer = await ask(url, `${folder}${variant.path}`);
  if (answer.status === 404) return null;
  const difference =
    answer.status === 200 ? differenceOf(variant, answer.bytes) : `answer ${answer.status}`;
  if (difference !== null) throw new Error(`${variant.path}: ${difference}`);
  return answer.bytes;
}

function assertDates(release: ReleaseFields): void {
  const now = Date.now();
  if (release.date !== null && release.date > now + FUTURE_MS_MAX)
    throw new Error('Release file is not valid yet');
  if (release.validUntil !== null && release.validUntil < now)
    throw new Error('Release file is expired');
}

function readPackages(indices: ReadonlyMap<string, Buffer>): Lists['packages'] {
  const packages = new Map<string, ReadonlyMap<string, string>>();
  for (const [path, bytes] of indices) {
    if (!/(^|\/)Packages$/.test(path)) continue;
    for (const stanza of readStanzas(bytes.toString('utf8')))
      packages.set(stanza.get('package') ?? '', stanza);
  }
  return packages;
}

/** @throws Error unless the whole file is there */
export async function askWhole(root: string, path: string): Promise<Buffer> {
  const { status, bytes } = await ask(root, path);
  if (status !== 200) throw new Error(`${status} for ${quote(path)}`);
  return bytes;
}
