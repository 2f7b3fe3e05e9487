/** A real Azurite with a fault proxy before it, for the tests of this folder. */
import { randomBytes } from 'node:crypto';

import {
  BlobServiceClient,
  StorageSharedKeyCredential,
  type ContainerClient,
} from '@azure/storage-blob';

import { startFaultProxy, type FaultProxy } from '../support/fault-proxy.ts';
import { servers } from '../support/servers.ts';

export interface AzuriteSite {
  readonly accountUrl: string;
  /** The same account through the proxy. */
  readonly proxiedAccountUrl: string;
  readonly account: string;
  readonly key: string;
  readonly credential: StorageSharedKeyCredential;
  readonly proxy: FaultProxy;
  /** Makes a container, read straight with the SDK by the tests that look behind the store. */
  container(access?: 'blob'): Promise<ContainerClient>;
  stop(): Promise<void>;
}

export async function startAzuriteSite(): Promise<AzuriteSite> {
  const [blobs] = (await servers()).blobs;
  if (blobs === undefined) throw new Error('the stack has no Azurite');
  const proxy = await startFaultProxy(new URL(blobs.url).origin);
  const credential = new StorageSharedKeyCredential(blobs.account, blobs.key);
  const service = new BlobServiceClient(blobs.url, credential);
  return {
    accountUrl: blobs.url,
    proxiedAccountUrl: `${proxy.origin}/${blobs.account}`,
    account: blobs.account,
    key: blobs.key,
    credential,
    proxy,
    container: async (access) => {
      const container = service.getContainerClient(`c${randomBytes(6).toString('hex')}`);
      await container.create(access === undefined ? {} : { access });
      return container;
    },
    stop: () => proxy.close(),
  };
}
