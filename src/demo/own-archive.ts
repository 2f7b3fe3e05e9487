/**
 * The archive that the demo makes for itself: its key, its server, and the files that it released,
 * which clients are expected to find.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { startArchiveServer, type ArchiveServer } from '../made-archive/archive-server.ts';
import type { Package } from '../made-archive/deb-package.ts';
import {
  createSignedArchive,
  type ReleaseContent,
  type SignedArchive,
} from '../made-archive/signed-archive.ts';
import { createSigningKey } from '../made-archive/signing-key.ts';
import { ask } from '../witness/ask-as-apt.ts';
import type { Client } from '../witness/client.ts';
import { hold, type DemoSite, type Replicated, type Stage } from './stage.ts';

/** The name of the distribution, and of its suite. */
export const DISTRIBUTION = 'stable';

/** What an archive that the demo made has released, for clients of its sites. */
export interface Released {
  /** The keys under which clients accept it, binary. */
  readonly keyring: Uint8Array;
  /** SHA-256 of a pool file by its name, as released. */
  readonly expected: (fileName: string) => string | undefined;
}

export interface OwnArchive extends Released {
  readonly replicated: Replicated;
  readonly signed: SignedArchive;
  readonly server: ArchiveServer;
  /** Releases exactly these packages. */
  release(packages: readonly Package[]): Promise<ReleaseContent>;
  /** Of the last release under the archive's own key. */
  packages(): readonly Package[];
}

export async function openOwnArchive(folder: string): Promise<OwnArchive> {
  const key = await createSigningKey('the archive of the debgeo demo');
  const signed = createSignedArchive({ folder: join(folder, 'archive'), suite: DISTRIBUTION, key });
  await mkdir(signed.folder, { recursive: true });
  const server = await startArchiveServer(signed.folder);
  const expected = new Map<string, string>();
  let packages: readonly Package[] = [];
  return {
    replicated: {
      distribution: DISTRIBUTION,
      suite: DISTRIBUTION,
      archiveUrl: server.url,
      mount: 'debian',
      keyring: key.publicBinary,
      settings: {},
    },
    signed,
    server,
    async release(next) {
      const content = await signed.prepare(next);
      packages = next;
      for (const [path, sha256] of content.pool) expected.set(path.replace(/^.*\//, ''), sha256);
      await signed.write(content.files);
      return content;
    },
    packages: () => packages,
    keyring: key.publicBinary,
    expected: (fileName) => expected.get(fileName),
  };
}

export const openClient = (stage: Stage, { keyring }: Released, site: DemoSite): Promise<Client> =>
  stage.client(site, { components: ['main'], architecture: 'amd64', keyring });

/** With lists that it has fetched now, all of them. */
export async function openUpdatedClient(
  stage: Stage,
  released: Released,
  site: DemoSite,
): Promise<Client> {
  const client = await openClient(stage, released, site);
  const update = await client.update({ fresh: true });
  hold(update.exitCode === 0, `${client.name} updates from ${site.name}\n${update.output}`);
  return client;
}

/** The ETag of what the site serves as InRelease. */
export const servedBy = async (site: DemoSite): Promise<string> =>
  (await ask(site.url, `dists/${DISTRIBUTION}/InRelease`, { method: 'HEAD' })).etag ?? 'nothing';

/**
 * Updates with empty lists and downloads all packages; every file must have the bytes that the
 * archive released.
 * @returns the number of packages
 */
export async function fetchEverything(
  stage: Stage,
  released: Released,
  site: DemoSite,
): Promise<number> {
  const client = await openUpdatedClient(stage, released, site);
  const names = await client.packages();
  const download = await client.download(names);
  hold(download.exitCode === 0, `${client.name} downloads from ${site.name}\n${download.output}`);
  hold(
    names.length > 0 && download.files.length === names.length,
    `${site.name} serves a file for each of ${names.length} packages`,
  );
  for (const file of download.files)
    hold(
      released.expected(file.name) === file.sha256,
      `${file.name} from ${site.name} has the bytes that were released`,
    );
  return names.length;
}
