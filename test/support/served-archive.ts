/** A made archive that is served over HTTP, and the two clients that read it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startArchiveServer, type ArchiveServer } from '../../src/made-archive/archive-server.ts';
import {
  makeBinaryPackage,
  makeSourcePackage,
  type Package,
} from '../../src/made-archive/deb-package.ts';
import {
  createSignedArchive,
  type SignedArchive,
  type SignedArchiveOptions,
} from '../../src/made-archive/signed-archive.ts';
import { createSigningKey } from '../../src/made-archive/signing-key.ts';
import { createAptClient, findApt } from '../../src/witness/apt-client.ts';
import { createBuiltinClient } from '../../src/witness/builtin-client.ts';
import type { Client, ClientOptions } from '../../src/witness/client.ts';

export const SUITE = 'stable';

const apt = await findApt();
const withoutApt = apt === null ? 'needs apt-get: apt-get install apt' : false;

/** Both clients; `skip` is the reason for which the tests of one are skipped. */
export const CLIENTS: readonly {
  readonly kind: 'apt' | 'built-in';
  readonly skip: string | false;
  create(options: ClientOptions): Promise<Client>;
}[] = [
  { kind: 'apt', skip: withoutApt, create: createAptClient },
  { kind: 'built-in', skip: false, create: async (options) => createBuiltinClient(options) },
];

/** A package, another one that it depends on, with signs in its name that apt quotes; a source. */
export const packagesOf = (version: string): Package[] => [
  makeBinaryPackage({
    name: 'hello',
    version,
    architecture: 'amd64',
    payload: Buffer.from(`hello ${version}`),
    depends: 'libc++x (>= 1)',
  }),
  makeBinaryPackage({
    name: 'libc++x',
    version: '2.0~b1+c',
    architecture: 'all',
    payload: Buffer.from('x'),
    compression: 'gz',
  }),
  makeSourcePackage({ name: 'hello', version, payload: Buffer.from(`source ${version}`) }),
];

export interface ServedArchive {
  readonly archive: SignedArchive;
  readonly server: ArchiveServer;
  /** A new client with empty lists. */
  client(kind: 'apt' | 'built-in'): Promise<Client>;
  close(): Promise<void>;
}

export async function serveArchive(
  options: Partial<SignedArchiveOptions> = {},
): Promise<ServedArchive> {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-served-'));
  const key = await createSigningKey('the archive of a test');
  const archive = createSignedArchive({
    folder: join(folder, 'archive'),
    suite: SUITE,
    key,
    ...options,
  });
  const server = await startArchiveServer(archive.folder);
  return {
    archive,
    server,
    async client(kind) {
      const found = CLIENTS.find((one) => one.kind === kind);
      if (found === undefined) throw new Error(`no client ${kind}`);
      return found.create({
        url: server.url,
        suite: SUITE,
        components: options.components ?? ['main'],
        architecture: 'amd64',
        keyring: archive.key.publicBinary,
        folder: await mkdtemp(join(folder, `${kind}-`)),
      });
    },
    async close() {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
