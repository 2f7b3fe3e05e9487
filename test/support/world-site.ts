/** A site of a world: a container of a real Azurite behind a proxy that misbehaves as told. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';

import {
  BlobServiceClient,
  StorageSharedKeyCredential,
  type BlockBlobClient,
  type ContainerClient,
} from '@azure/storage-blob';

import type { StackUrls } from '../../src/settings/stack-file.ts';
import { createAptClient } from '../../src/witness/apt-client.ts';
import type { Client } from '../../src/witness/client.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';

export class WorldSite {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly container: ContainerClient;
  /** Behind the proxy, as the worker reaches it. */
  readonly accountUrl: string;
  /** The variable of this process that holds the account's key. */
  readonly variable: string;
  /** What a client writes into sources.list, past the proxy: the site's own bytes. */
  readonly aptUrl: string;
  readonly #startApt: (suite: string) => Promise<Client>;
  readonly #apts = new Map<string, Promise<Client>>();

  constructor(
    parts: Pick<WorldSite, 'name' | 'proxy' | 'container' | 'accountUrl' | 'variable'>,
    clients: { readonly keyring: Uint8Array; readonly folder: string },
  ) {
    this.name = parts.name;
    this.proxy = parts.proxy;
    this.container = parts.container;
    this.accountUrl = parts.accountUrl;
    this.variable = parts.variable;
    this.aptUrl = `${parts.container.url}/debian`;
    this.#startApt = (suite) =>
      createAptClient({
        url: this.aptUrl,
        suite,
        components: ['main'],
        architecture: 'amd64',
        keyring: clients.keyring,
        folder: join(clients.folder, this.name, suite),
      });
  }

  /** A private apt of this site, with its lists kept between calls. */
  apt(suite: string): Promise<Client> {
    const known = this.#apts.get(suite) ?? this.#startApt(suite);
    this.#apts.set(suite, known);
    return known;
  }

  /** The version that a fresh `apt-get update` finds; throws with apt's words when update fails. */
  async aptSees(name: string, suite: string): Promise<string | null> {
    const apt = await this.apt(suite);
    const updated = await apt.update({ fresh: true });
    assert.equal(updated.exitCode, 0, updated.output);
    return apt.versionOf(name);
  }

  /** Past the proxy. @param path with the mount */
  blob(path: string): BlockBlobClient {
    return this.container.getBlockBlobClient(path);
  }

  read(path: string): Promise<Buffer> {
    return this.blob(path).downloadToBuffer();
  }

  /** ETag and length of every path, as the container holds them: for before and after. */
  async contents(): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    for await (const blob of this.container.listBlobsFlat())
      found.set(blob.name, `${blob.properties.etag} ${blob.properties.contentLength}`);
    return found;
  }
}

/** Makes a container for a site, and the proxy in front of it, which the caller closes. */
export async function startWorldSite(
  name: string,
  azurite: StackUrls['blobs'][number],
  clients: { readonly keyring: Uint8Array; readonly folder: string },
): Promise<WorldSite> {
  const key = new StorageSharedKeyCredential(azurite.account, azurite.key);
  const container = new BlobServiceClient(azurite.url, key).getContainerClient(
    `w-${randomBytes(6).toString('hex')}`,
  );
  await container.create({ access: 'blob' });
  const variable = `DEBGEO_TEST_${container.containerName.toUpperCase().replaceAll('-', '_')}`;
  process.env[variable] = `AccountName=${azurite.account};AccountKey=${azurite.key}`;
  const { origin, pathname } = new URL(azurite.url);
  const proxy = await startFaultProxy(origin);
  const accountUrl = `${proxy.origin}${pathname}`.replace(/\/$/, '');
  return new WorldSite({ name, proxy, container, accountUrl, variable }, clients);
}
