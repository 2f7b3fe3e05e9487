/**
 * A client for hosts without apt: asks what apt 2.6 asks, in its order, and accepts what it
 * accepts. Imports nothing from the rest of src/. Of several versions of a package in one archive
 * it knows the one listed last, and of dependencies the first alternative.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import {
  ask,
  differenceOf,
  digest,
  HASHES,
  quote,
  readDetached,
  readInRelease,
  readRelease,
  readStanzas,
  suiteFolderOf,
} from './ask-as-apt.ts';
import type { ListedFile, ReleaseFields } from './ask-as-apt.ts';
import {
  OUTPUT_CHARACTERS,
  type Client,
  type ClientOptions,
  type Download,
  type DownloadedFile,
  type Outcome,
} from './client.ts';
import { uncompress } from './uncompress.ts';

/** One accepted state of a suite, replaced as a whole or not at all. */
interface Lists {
  readonly inReleaseModified: string | null;
  readonly release: ReleaseFields;
  /** Uncompressed, by the path that Release lists for the uncompressed one. */
  readonly indices: ReadonlyMap<string, Buffer>;
  readonly packages: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** apt accepts a Date this far ahead (Acquire::Max-FutureTime). */
const FUTURE_MS_MAX = 10_000;
const EXTENSIONS = ['.xz', '.zst', '.gz', ''] as const;

export function createBuiltinClient(options: ClientOptions): Client {
  const { url, suite, keyring, folder, sources = true } = options;
  const suiteFolder = suiteFolderOf(suite);
  let lists: Lists | null = null;

  return {
    name: 'built-in client',
    update: ({ fresh }) =>
      outcomeOf(async () => {
        // Forgotten at once, as lists that are deleted are: a failure then leaves nothing.
        if (fresh) lists = null;
        lists = await fetchLists(lists);
      }),
    packages: async () => [...(lists?.packages.keys() ?? [])],
    versionOf: async (name) => lists?.packages.get(name)?.get('version') ?? null,
    download: (names) => downloadAll(names),
    installDownloadOnly: (name) => downloadAll(withDependencies(name)),
  };

  async function fetchLists(kept: Lists | null): Promise<Lists> {
    const head = await fetchRelease(kept);
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
    for (const stem of wantedStems(head.release)) {
      indices.set(stem, await fetchIndex(head.release, stem, kept));
    }
    return { ...head, indices, packages: readPackages(indices) };
  }

  async function fetchRelease(
    kept: Lists | null,
  ): Promise<'unchanged' | Pick<Lists, 'release' | 'inReleaseModified'>> {
    const inRelease = await ask(url, `${suiteFolder}InRelease`, {
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
    const release = await askWhole(`${suiteFolder}Release`);
    if (keyring === null)
      return { release: readRelease(release.toString('utf8')), inReleaseModified: null };
    const releaseGpg = await askWhole(`${suiteFolder}Release.gpg`);
    return {
      release: readRelease(await readDetached(release, releaseGpg, keyring)),
      inReleaseModified: null,
    };
  }

  /** Lists that Release names; one whose uncompressed size is 0 is never asked for. */
  function wantedStems(release: ReleaseFields): string[] {
    const flat = ['Packages', ...(sources ? ['Sources'] : [])];
    const ofComponents = options.components.flatMap((component) => [
      ...[options.architecture, 'all'].map(
        (architecture) => `${component}/binary-${architecture}/Packages`,
      ),
      ...(sources ? [`${component}/source/Sources`] : []),
      `${component}/i18n/Translation-en`,
      `${component}/Contents-${options.architecture}`,
    ]);
    return (suite.endsWith('/') ? flat : ofComponents).filter((stem) =>
      EXTENSIONS.some(
        (extension) =>
          (release.files.get(`${stem}${extension}`)?.size ?? 0) > 0 &&
          release.files.get(stem)?.size !== 0,
      ),
    );
  }

  async function fetchIndex(
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
      const bytes = variant === undefined ? null : await fetchVariant(release, variant);
      if (bytes === null) continue;
      const content =
        extension === '' ? bytes : uncompress(bytes, extension.slice(1) as 'xz' | 'zst' | 'gz');
      const difference = listed === undefined ? null : differenceOf(listed, content);
      if (difference !== null) throw new Error(`${stem} out of ${stem}${extension}: ${difference}`);
      return content;
    }
    throw new Error(`404  Not Found for every variant of ${stem}`);
  }

  /**
   * By-hash under the strongest hash listed, then once the canonical name; null if neither is
   * there.
   */
  async function fetchVariant(release: ReleaseFields, variant: ListedFile): Promise<Buffer | null> {
    const strongest = HASHES.find(([table]) => variant.hashes.has(table))?.[0];
    if (release.acquireByHash && strongest !== undefined) {
      const parent = variant.path.replace(/[^/]+$/, '');
      const answer = await ask(
        url,
        `${suiteFolder}${parent}by-hash/${strongest}/${variant.hashes.get(strongest)}`,
      );
      if (answer.status === 200 && differenceOf(variant, answer.bytes) === null)
        return answer.bytes;
    }
    const answer = await ask(url, `${suiteFolder}${variant.path}`);
    if (answer.status === 404) return null;
    const difference =
      answer.status === 200 ? differenceOf(variant, answer.bytes) : `answer ${answer.status}`;
    if (difference !== null) throw new Error(`${variant.path}: ${difference}`);
    return answer.bytes;
  }

  async function downloadAll(names: readonly string[]): Promise<Download> {
    const files: DownloadedFile[] = [];
    const outcome = await outcomeOf(async () => {
      await mkdir(join(folder, 'download'), { recursive: true });
      for (const name of names) files.push(await downloadPackage(name));
    });
    return { ...outcome, files };
  }

  async function downloadPackage(packageName: string): Promise<DownloadedFile> {
    const stanza = lists?.packages.get(packageName);
    const path = stanza?.get('filename');
    if (stanza === undefined || path === undefined)
      throw new Error(`Unable to locate package ${packageName}`);
    const bytes = await askWhole(path);
    const sha256 = digest('sha256', bytes);
    if (bytes.length !== Number(stanza.get('size')))
      throw new Error(`${path}: File has unexpected size`);
    if (sha256 !== stanza.get('sha256')) throw new Error(`${path}: Hash Sum mismatch`);
    const name = path.replace(/^.*\//, '');
    await writeFile(join(folder, 'download', name), bytes);
    return { package: packageName, name, size: bytes.length, sha256 };
  }

  function withDependencies(name: string, seen = new Set<string>()): string[] {
    if (seen.has(name)) return [];
    seen.add(name);
    const depends = lists?.packages.get(name)?.get('depends') ?? '';
    const needed = depends.split(',').map((one) => /^[a-z0-9+.-]+/.exec(one.trim())?.[0] ?? '');
    return [
      name,
      ...needed.filter((one) => one !== '').flatMap((one) => withDependencies(one, seen)),
    ];
  }

  async function askWhole(path: string): Promise<Buffer> {
    const { status, bytes } = await ask(url, path);
    if (status !== 200) throw new Error(`${status} for ${quote(path)}`);
    return bytes;
  }
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

async function outcomeOf(work: () => Promise<void>): Promise<Outcome> {
  try {
    await work();
    return { exitCode: 0, output: '' };
  } catch (error) {
    return {
      exitCode: 100,
      output: `E: ${error instanceof Error ? error.message : String(error)}`.slice(
        -OUTPUT_CHARACTERS,
      ),
    };
  }
}
