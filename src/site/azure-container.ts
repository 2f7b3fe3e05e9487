/**
 * An Azure container: its two clients (blob-http.ts and the SDK), and the names of blobs in it. A
 * name is compared with the intended path before any request goes out (I7).
 */
import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  type BlockBlobClient,
} from '@azure/storage-blob';

import { DebgeoError } from '../domain/errors.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import { BlobHttp } from './blob-http.ts';
import { Connections } from './connections.ts';
import { SasToken, type SiteCredential } from './credentials.ts';
import type { Doing } from './site-error.ts';

export interface AzureSite {
  readonly name: string;
  readonly accountUrl: string;
  readonly container: string;
  /** Without slashes around it; empty for the root of the container. */
  readonly prefix: string;
}

export class AzureContainer {
  readonly site: string;
  readonly http: BlobHttp;
  readonly connections: Connections;
  readonly #client: ContainerClient;
  readonly #name: string;
  readonly #prefix: string;

  constructor(site: AzureSite, credential: SiteCredential) {
    const url = `${site.accountUrl.replace(/\/+$/, '')}/${encodeURIComponent(site.container)}`;
    const bySas = credential instanceof SasToken;
    this.connections = new Connections(site.accountUrl);
    const options = {
      retryOptions: { maxTries: 1 },
      userAgentOptions: { userAgentPrefix: 'debgeo' },
      // The type leaves it out; the SDK hands its options on to the pipeline, which takes it.
      agent: this.connections.agent,
    };
    const pipeline = newPipeline(bySas ? new AnonymousCredential() : credential, options);
    this.site = site.name;
    this.http = new BlobHttp(url, credential, this.connections.agent);
    this.#client = new ContainerClient(bySas ? credential.appendTo(url) : url, pipeline);
    this.#name = site.container;
    this.#prefix = site.prefix;
  }

  /**
   * For blob-http.ts.
   * @throws HOSTILE_PATH
   */
  targetOf(path: RepoPath): string {
    const name = this.#nameOf(path);
    const target = this.http.targetOf(name);
    if (target === null) throw this.#wouldLeave(name, 'another blob, or none');
    return target;
  }

  /**
   * For the SDK, which builds the URL so that `..` leaves the prefix and the container.
   * @throws HOSTILE_PATH
   */
  blobAt(path: RepoPath): BlockBlobClient {
    const name = this.#nameOf(path);
    let blob: BlockBlobClient | null;
    try {
      blob = this.#client.getBlockBlobClient(name);
    } catch {
      blob = null;
    }
    if (blob === null || blob.containerName !== this.#name || blob.name !== name)
      throw this.#wouldLeave(
        name,
        blob === null ? 'no blob at all' : `${blob.containerName}/${blob.name}`,
      );
    return blob;
  }

  doing(verb: string, path: RepoPath): Doing {
    return `${verb} ${path} at ${this.site}`;
  }

  #nameOf(path: RepoPath): string {
    return this.#prefix === '' ? path : `${this.#prefix}/${path}`;
  }

  #wouldLeave(name: string, found: string): DebgeoError {
    const expected = `${this.#name}/${name}`;
    return new DebgeoError(
      'HOSTILE_PATH',
      `a path would leave ${this.site}; nothing was requested`,
      { expected, found },
    );
  }
}
