/**
 * A SiteStore in an Azure container (or Azurite).
 *
 * Whole blobs are written and read by plain HTTP (blob-http.ts). The SDK only builds, signs and
 * sends single requests: its retries are off, since they ignore Retry-After and never end a silent
 * connection.
 */
import { createHash, randomBytes } from 'node:crypto';

import type { Checksum } from '../domain/checksum.ts';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import type { Sha256 } from '../domain/sha256.ts';
import { assertAnnounced, blocksOf, wholeOf } from './announced-bytes.ts';
import { AzureContainer, type AzureSite } from './azure-container.ts';
import { Absent, Conflict } from './azure-failures.ts';
import { commitOptions, conditionOf, headOf, putHeaders, writtenOf } from './azure-headers.ts';
import { AzureRequests, PIECE_BYTES } from './azure-requests.ts';
import { discard } from './blob-http.ts';
import type { SiteCredential } from './credentials.ts';
import { Memory, type MemoryLimits } from './memory.ts';
import { Pace, type PaceLimits } from './pace.ts';
import type { BlobContent, Expected, SiteStore, Written } from './site-store.ts';
import type { Patience } from './watchdog.ts';

export interface AzureLimits extends Patience, PaceLimits, MemoryLimits {
  /** One Put Blob up to here, blocks of this size above, bytes. */
  readonly putBytes: number;
}

/** What stores share; each has its own unless given. */
export interface Shared {
  /** By all stores of one site in a worker. */
  readonly pace: Pace;
  /** By all stores of a worker. */
  readonly memory: Memory;
}

/** A SiteStore, and the same for the blobs of one archive. */
export interface AzureSiteStore extends SiteStore {
  forArchive(archive: string): SiteStore;
}

export function createAzureSiteStore(
  site: AzureSite,
  credential: SiteCredential,
  limits: AzureLimits = LIMITS,
  shared: Partial<Shared> = {},
): AzureSiteStore {
  const { pace = new Pace(limits), memory = new Memory(limits) } = shared;
  const container = new AzureContainer(site, credential);
  return new Store(container, limits, { pace, memory }, '');
}

class Store implements AzureSiteStore {
  readonly site: string;
  readonly #container: AzureContainer;
  readonly #limits: AzureLimits;
  readonly #shared: Shared;
  readonly #requests: AzureRequests;
  /** Of `shared.memory`: the archive and the site. */
  readonly #route: string;
  /** Of `shared.pace`: turns that carry bytes to the site, and those that do not. */
  readonly #carrying: string;
  readonly #empty: string;

  constructor(container: AzureContainer, limits: AzureLimits, shared: Shared, archive: string) {
    this.site = container.site;
    this.#container = container;
    this.#limits = limits;
    this.#shared = shared;
    this.#requests = new AzureRequests(container, limits, shared.pace);
    this.#route = `${archive} to ${container.site}`;
    this.#carrying = `${archive}, bytes`;
    this.#empty = `${archive}, no bytes`;
  }

  forArchive(archive: string): SiteStore {
    return new Store(this.#container, this.#limits, this.#shared, archive);
  }

  async put(
    path: RepoPath,
    content: BlobContent,
    expected: Expected,
    signal: AbortSignal,
  ): Promise<Written | 'conflict'> {
    const target = this.#container.targetOf(path);
    signal.throwIfAborted();
    try {
      const { putBytes } = this.#limits;
      const bytes = Math.min(content.size, putBytes);
      return await this.#shared.memory.hold(this.#route, bytes, signal, () =>
        content.size <= putBytes
          ? this.#putWhole(target, path, content, expected, signal)
          : this.#putBlocks(path, content, expected, signal),
      );
    } catch (error) {
      if (error instanceof Conflict || error instanceof Absent) return 'conflict';
      throw error;
    }
  }

  checksum(
    path: RepoPath,
    signal: AbortSignal,
    etag?: string,
  ): Promise<Checksum | 'changed' | null> {
    return this.#turn(0, signal, async () => {
      const download = await this.#requests.openVersion(path, signal, etag);
      if (download === null || download === 'changed') return download;
      return { ...download.version, sha256: await download.sha256() };
    });
  }

  async open(
    path: RepoPath,
    signal: AbortSignal,
  ): Promise<{ etag: string; size: number; bytes: AsyncIterable<Uint8Array> } | null> {
    const download = await this.#requests.openVersion(path, signal);
    if (download === 'changed')
      throw new DebgeoError('SITE_REFUSED', `cannot ${this.#container.doing('read', path)}`, {
        found: '412',
      });
    if (download === null) return null;
    const { etag, size } = download.version;
    return { etag, size, bytes: download.bytes() };
  }

  async remove(path: RepoPath, etag: string, signal: AbortSignal): Promise<'gone' | 'conflict'> {
    const blob = this.#container.blobAt(path);
    try {
      await this.#requests.send(this.#container.doing('delete', path), signal, 0, (watchdog) =>
        blob.delete({ conditions: { ifMatch: etag }, abortSignal: watchdog.signal }),
      );
      return 'gone';
    } catch (error) {
      if (error instanceof Absent) return 'gone';
      if (error instanceof Conflict)
        return (await this.#requests.exists(path, signal)) ? 'conflict' : 'gone';
      throw error;
    }
  }

  #turn<T>(bytes: number, signal: AbortSignal, request: () => Promise<T>): Promise<T> {
    return this.#shared.pace.run(bytes === 0 ? this.#empty : this.#carrying, signal, request);
  }

  async #putWhole(
    target: string,
    path: RepoPath,
    content: BlobContent,
    expected: Expected,
    signal: AbortSignal,
  ): Promise<Written> {
    const { bytes, md5 } = await wholeOf(content, path);
    const doing = this.#container.doing('write', path);
    const headers = { ...putHeaders(content, md5), ...conditionOf(expected) };
    return this.#turn(bytes.length, signal, async () => {
      if (bytes.length <= PIECE_BYTES) await this.#shared.pace.spend(bytes.length, signal);
      return this.#requests.send(doing, signal, bytes.length, async (watchdog) => {
        const body = this.#requests.bodyOf(bytes, watchdog, signal);
        const { http } = this.#container;
        const answer = await http.send('PUT', target, headers, body, watchdog.signal);
        await discard(answer);
        return writtenOf(headOf(answer), doing);
      });
    });
  }

  /** Blocks that are never committed are not visible, and Azure drops them after a week. */
  async #putBlocks(
    path: RepoPath,
    content: BlobContent,
    expected: Expected,
    signal: AbortSignal,
  ): Promise<Written> {
    const blob = this.#container.blobAt(path);
    const doing = this.#container.doing('write', path);
    const writer = randomBytes(16);
    const ids: string[] = [];
    const sha256 = createHash('sha256');
    const md5 = createHash('md5');
    let offset = 0;

    for await (const block of blocksOf(content, this.#limits.putBytes, path)) {
      sha256.update(block);
      md5.update(block);
      const id = blockId(writer, offset);
      const transactionalContentMD5 = createHash('md5').update(block).digest();
      await this.#turn(block.length, signal, () =>
        this.#requests.send(doing, signal, block.length, (watchdog) =>
          blob.stageBlock(id, this.#requests.bodyOf(block, watchdog, signal), block.length, {
            transactionalContentMD5,
            abortSignal: watchdog.signal,
          }),
        ),
      );
      ids.push(id);
      offset += block.length;
    }

    assertAnnounced(content, offset, sha256.digest('hex') as Sha256, path);
    const options = commitOptions(content, expected, md5.digest());
    const answer = await this.#turn(0, signal, () =>
      this.#requests.send(doing, signal, 0, (watchdog) =>
        blob.commitBlockList(ids, { ...options, abortSignal: watchdog.signal }),
      ),
    );
    return writtenOf(answer, doing);
  }
}

/**
 * Random per call: writers that share block ids would publish each other's bytes. All ids of a blob
 * have one length, as Azure demands.
 */
function blockId(writer: Buffer, offset: number): string {
  const place = Buffer.alloc(8);
  place.writeBigUInt64BE(BigInt(offset));
  return Buffer.concat([writer, place]).toString('base64');
}
