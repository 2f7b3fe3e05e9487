/**
 * A SiteStore in an Azure container (or Azurite).
 *
 * Whole blobs are written and read by plain HTTP (blob-http.ts). The SDK only builds, signs and
 * sends single requests: its retries are off, since they ignore Retry-After and never end a silent
 * connection. One file of more than 300 lines: all requests share one way to wait, to be ended and
 * to fail.
 */
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';

import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  type BlockBlobClient,
} from '@azure/storage-blob';

import type { Checksum } from '../domain/checksum.ts';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import type { Sha256 } from '../domain/sha256.ts';
import { assertAnnounced, blocksOf, wholeOf } from './announced-bytes.ts';
import { Absent, Conflict, failureOf } from './azure-failures.ts';
import {
  commitOptions,
  conditionOf,
  headOf,
  incomplete,
  putHeaders,
  writtenOf,
} from './azure-headers.ts';
import { BlobHttp, discard } from './blob-http.ts';
import { Connections } from './connections.ts';
import { SasToken, type SiteCredential } from './credentials.ts';
import { Pace, type PaceLimits } from './pace.ts';
import type { Doing } from './site-error.ts';
import type { BlobContent, Expected, SiteStore, Written } from './site-store.ts';
import { Watchdog, type Patience } from './watchdog.ts';

export interface AzureSite {
  readonly name: string;
  readonly accountUrl: string;
  readonly container: string;
  /** Without slashes around it; empty for the root of the container. */
  readonly prefix: string;
}

export interface AzureLimits extends Patience, PaceLimits {
  /** One Put Blob up to here, blocks of this size above, bytes. */
  readonly putBytes: number;
}

/** @param pace shared by all stores of one site in a worker; one of its own unless given */
export const createAzureSiteStore = (
  site: AzureSite,
  credential: SiteCredential,
  limits: AzureLimits = LIMITS,
  pace: Pace = new Pace(limits),
): SiteStore => new AzureSiteStore(site, credential, limits, pace);

/** Bytes handed to a socket at a time: the watchdog sees an upload move at this grain. */
const PIECE_BYTES = 64 * 1024;

/** One version of a blob, its bytes not read yet. */
interface Download extends Omit<Checksum, 'sha256'> {
  readonly body: Readable;
  readonly watchdog: Watchdog;
}

class AzureSiteStore implements SiteStore {
  readonly site: string;
  readonly #http: BlobHttp;
  readonly #container: ContainerClient;
  readonly #containerName: string;
  readonly #prefix: string;
  readonly #limits: AzureLimits;
  readonly #pace: Pace;
  readonly #connections: Connections;

  constructor(site: AzureSite, credential: SiteCredential, limits: AzureLimits, pace: Pace) {
    const url = `${site.accountUrl.replace(/\/+$/, '')}/${encodeURIComponent(site.container)}`;
    const bySas = credential instanceof SasToken;
    this.#connections = new Connections(site.accountUrl);
    const options = {
      retryOptions: { maxTries: 1 },
      userAgentOptions: { userAgentPrefix: 'debgeo' },
      // The type leaves it out; the SDK hands its options on to the pipeline, which takes it.
      agent: this.#connections.agent,
    };
    const pipeline = newPipeline(bySas ? new AnonymousCredential() : credential, options);
    this.site = site.name;
    this.#http = new BlobHttp(url, credential, this.#connections.agent);
    this.#container = new ContainerClient(bySas ? credential.appendTo(url) : url, pipeline);
    this.#containerName = site.container;
    this.#prefix = site.prefix;
    this.#limits = limits;
    this.#pace = pace;
  }

  async put(
    path: RepoPath,
    content: BlobContent,
    expected: Expected,
    signal: AbortSignal,
  ): Promise<Written | 'conflict'> {
    const target = this.#targetOf(path);
    signal.throwIfAborted();
    try {
      return await this.#pace.run(Math.min(content.size, this.#limits.putBytes), signal, () =>
        content.size <= this.#limits.putBytes
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
    return this.#pace.run(0, signal, () => this.#checksum(path, signal, etag));
  }

  async #checksum(
    path: RepoPath,
    signal: AbortSignal,
    etag?: string,
  ): Promise<Checksum | 'changed' | null> {
    const download = await this.#download(path, signal, etag);
    if (download === null || download === 'changed') return download;
    const { etag: found, size, lastModified } = download;
    return {
      etag: found,
      size,
      lastModified,
      sha256: await this.#sha256Of(download, path, signal),
    };
  }

  /**
   * By events, not as an iterator, which would cost a small blob as much again: everything that is
   * written or verified goes through here.
   */
  async #sha256Of(
    { body, size, watchdog }: Download,
    path: RepoPath,
    signal: AbortSignal,
  ): Promise<Sha256> {
    const sha256 = createHash('sha256');
    const read = Promise.withResolvers<void>();
    let left = size;
    body.on('data', (chunk: Buffer) => {
      sha256.update(chunk);
      left -= chunk.length;
      const paid = this.#pace.spend(chunk.length, signal);
      if (paid === null) return watchdog.wait();
      watchdog.rest();
      body.pause();
      paid.then(() => {
        watchdog.wait();
        body.resume();
      }, read.reject);
    });
    body.once('end', read.resolve);
    body.once('error', read.reject);
    try {
      watchdog.wait();
      await read.promise;
      // An answer that is ended by us gives up its 'data' before it says 'end'.
      watchdog.signal.throwIfAborted();
      if (left !== 0) throw new Error(`the body ended ${left} bytes early`);
      return sha256.digest('hex') as Sha256;
    } catch (error) {
      throw failureOf(error, watchdog, signal, this.#doing('read', path));
    } finally {
      watchdog.end();
      body.destroy();
    }
  }

  async open(
    path: RepoPath,
    signal: AbortSignal,
  ): Promise<{ etag: string; size: number; bytes: AsyncIterable<Uint8Array> } | null> {
    const download = await this.#download(path, signal);
    if (download === 'changed')
      throw new DebgeoError('SITE_REFUSED', `cannot ${this.#doing('read', path)}`, {
        found: '412',
      });
    return download === null
      ? null
      : { etag: download.etag, size: download.size, bytes: this.#bytesOf(download, path, signal) };
  }

  async remove(path: RepoPath, etag: string, signal: AbortSignal): Promise<'gone' | 'conflict'> {
    const blob = this.#blobAt(path);
    try {
      await this.#request(this.#doing('delete', path), signal, 0, (watchdog) =>
        blob.delete({ conditions: { ifMatch: etag }, abortSignal: watchdog.signal }),
      );
      return 'gone';
    } catch (error) {
      if (error instanceof Absent) return 'gone';
      if (error instanceof Conflict)
        return (await this.#exists(blob, path, signal)) ? 'conflict' : 'gone';
      throw error;
    }
  }

  async #putWhole(
    target: string,
    path: RepoPath,
    content: BlobContent,
    expected: Expected,
    signal: AbortSignal,
  ): Promise<Written> {
    const { bytes, md5 } = await wholeOf(content, path);
    const doing = this.#doing('write', path);
    if (bytes.length <= PIECE_BYTES) await this.#pace.spend(bytes.length, signal);
    const headers = { ...putHeaders(content, md5), ...conditionOf(expected) };
    return this.#request(doing, signal, bytes.length, async (watchdog) => {
      const answer = await this.#http.send(
        'PUT',
        target,
        headers,
        this.#bodyOf(bytes, watchdog, signal),
        watchdog.signal,
      );
      await discard(answer);
      return writtenOf(headOf(answer), doing);
    });
  }

  /** Blocks that are never committed are not visible, and Azure drops them after a week. */
  async #putBlocks(
    path: RepoPath,
    content: BlobContent,
    expected: Expected,
    signal: AbortSignal,
  ): Promise<Written> {
    const blob = this.#blobAt(path);
    const doing = this.#doing('write', path);
    const writer = randomBytes(16);
    const ids: string[] = [];
    const sha256 = createHash('sha256');
    const md5 = createHash('md5');
    let offset = 0;

    for await (const block of blocksOf(content, this.#limits.putBytes, path)) {
      sha256.update(block);
      md5.update(block);
      const id = blockId(writer, offset);
      await this.#request(doing, signal, block.length, (watchdog) =>
        blob.stageBlock(id, this.#bodyOf(block, watchdog, signal), block.length, {
          transactionalContentMD5: createHash('md5').update(block).digest(),
          abortSignal: watchdog.signal,
        }),
      );
      ids.push(id);
      offset += block.length;
    }

    assertAnnounced(content, offset, sha256.digest('hex') as Sha256, path);
    const options = commitOptions(content, expected, md5.digest());
    const answer = await this.#request(doing, signal, 0, (watchdog) =>
      blob.commitBlockList(ids, { ...options, abortSignal: watchdog.signal }),
    );
    return writtenOf(answer, doing);
  }

  #download(
    path: RepoPath,
    signal: AbortSignal,
    etag?: string,
  ): Promise<Download | 'changed' | null> {
    return this.#patiently(signal, () => this.#openVersion(path, signal, etag));
  }

  async #openVersion(
    path: RepoPath,
    signal: AbortSignal,
    etag?: string,
  ): Promise<Download | 'changed' | null> {
    const target = this.#targetOf(path);
    const doing = this.#doing('read', path);
    const watchdog = new Watchdog(signal, this.#limits, 0);
    try {
      watchdog.wait();
      const headers = etag === undefined ? {} : { 'if-match': etag };
      const answer = await this.#connections.send(() =>
        this.#http.send('GET', target, headers, null, watchdog.signal),
      );
      watchdog.rest();
      const { etag: found, lastModified, size } = headOf(answer);
      if (found === undefined || lastModified === undefined || size === undefined) {
        answer.destroy();
        throw incomplete(doing);
      }
      watchdog.expect(size);
      return { etag: found, lastModified: lastModified.getTime(), size, body: answer, watchdog };
    } catch (error) {
      watchdog.end();
      const failure = failureOf(error, watchdog, signal, doing);
      if (failure instanceof Absent) return null;
      if (failure instanceof Conflict)
        return (await this.#exists(this.#blobAt(path), path, signal)) ? 'changed' : null;
      throw failure;
    }
  }

  async *#bytesOf(
    { body, watchdog }: Download,
    path: RepoPath,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    try {
      watchdog.wait();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        watchdog.rest();
        await this.#pace.spend(chunk.length, signal);
        yield chunk;
        watchdog.wait();
      }
    } catch (error) {
      throw failureOf(error, watchdog, signal, this.#doing('read', path));
    } finally {
      watchdog.end();
      body.destroy();
    }
  }

  /**
   * Azurite answers 412 to a condition on a blob that is not there: 412 alone does not tell absent
   * from changed.
   */
  async #exists(blob: BlockBlobClient, path: RepoPath, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#request(this.#doing('look at', path), signal, 0, (watchdog) =>
        blob.getProperties({ abortSignal: watchdog.signal }),
      );
      return true;
    } catch (error) {
      if (error instanceof Absent) return false;
      throw error;
    }
  }

  #request<T>(
    doing: Doing,
    signal: AbortSignal,
    bytes: number,
    send: (watchdog: Watchdog) => Promise<T>,
  ): Promise<T> {
    return this.#patiently(signal, () => this.#attempt(doing, signal, bytes, send));
  }

  /**
   * What a throttled site asks for is waited out here while it is short: what was done so far is
   * not given up for a second.
   */
  async #patiently<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    const since = performance.now();
    for (;;) {
      await this.#pace.clear(signal);
      const sentAt = performance.now();
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof DebgeoError) || error.code !== 'SITE_THROTTLED') throw error;
        if (!this.#pace.slowDown(error.report.retryAfterMs ?? null, sentAt, since)) throw error;
      }
    }
  }

  async #attempt<T>(
    doing: Doing,
    signal: AbortSignal,
    bytes: number,
    send: (watchdog: Watchdog) => Promise<T>,
  ): Promise<T> {
    const watchdog = new Watchdog(signal, this.#limits, bytes);
    try {
      watchdog.wait();
      return await this.#connections.send(() => send(watchdog));
    } catch (error) {
      throw failureOf(error, watchdog, signal, doing);
    } finally {
      watchdog.end();
    }
  }

  #bodyOf(bytes: Buffer, watchdog: Watchdog, signal: AbortSignal): Buffer | (() => Readable) {
    if (bytes.length <= PIECE_BYTES) return bytes;
    return () =>
      Readable.from(this.#pieces(bytes, watchdog, signal), {
        objectMode: false,
        highWaterMark: PIECE_BYTES,
      });
  }

  async *#pieces(bytes: Buffer, watchdog: Watchdog, signal: AbortSignal): AsyncGenerator<Buffer> {
    for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
      const piece = bytes.subarray(start, start + PIECE_BYTES);
      watchdog.rest();
      await this.#pace.spend(piece.length, signal);
      watchdog.wait();
      yield piece;
    }
  }

  #targetOf(path: RepoPath): string {
    const name = this.#nameOf(path);
    const target = this.#http.targetOf(name);
    if (target === null) throw this.#wouldLeave(name, 'another blob, or none');
    return target;
  }

  #nameOf(path: RepoPath): string {
    return this.#prefix === '' ? path : `${this.#prefix}/${path}`;
  }

  #wouldLeave(name: string, found: string): DebgeoError {
    const expected = `${this.#containerName}/${name}`;
    return new DebgeoError(
      'HOSTILE_PATH',
      `a path would leave ${this.site}; nothing was requested`,
      { expected, found },
    );
  }

  /**
   * What goes out is compared with what is meant: the SDK builds the URL so that `..` leaves the
   * prefix and the container.
   */
  #blobAt(path: RepoPath): BlockBlobClient {
    const name = this.#nameOf(path);
    let blob: BlockBlobClient | null;
    try {
      blob = this.#container.getBlockBlobClient(name);
    } catch {
      blob = null;
    }
    if (blob === null || blob.containerName !== this.#containerName || blob.name !== name)
      throw this.#wouldLeave(
        name,
        blob === null ? 'no blob at all' : `${blob.containerName}/${blob.name}`,
      );
    return blob;
  }

  #doing(verb: string, path: RepoPath): Doing {
    return `${verb} ${path} at ${this.site}`;
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
