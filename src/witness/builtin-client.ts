/**
 * A client for hosts without apt: it asks what apt asks and accepts what apt accepts. Of several
 * versions of a package in one archive it knows the one that is listed last, and of alternative
 * dependencies the first.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { digest } from './ask-as-apt.ts';
import {
  OUTPUT_CHARACTERS,
  type Client,
  type ClientOptions,
  type Download,
  type DownloadedFile,
  type Outcome,
} from './client.ts';
import { askWhole, fetchLists, type Lists } from './fetch-lists.ts';

export function createBuiltinClient(options: ClientOptions): Client {
  const { url, folder } = options;
  let lists: Lists | null = null;

  return {
    name: 'built-in client',
    update: ({ fresh }) =>
      outcomeOf(async () => {
        // Deleted at once, as apt's are: a failure then leaves no list.
        if (fresh) lists = null;
        lists = await fetchLists(options, lists);
      }),
    packages: async () => [...(lists?.packages.keys() ?? [])],
    versionOf: async (name) => lists?.packages.get(name)?.get('version') ?? null,
    download: (names) => downloadAll(names),
    installDownloadOnly: (name) => downloadAll(withDependencies(name)),
  };

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
    const bytes = await askWhole(url, path);
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
