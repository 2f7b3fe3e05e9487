/**
 * A SiteStore in an Azure container (or Azurite).
 *
 * The SDK only builds, signs and sends single requests: its retries are off, since they ignore Retry-After and never end a silent connection.
 * Its HTTP client keeps connections alive and opens as many as there are requests.
 */
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  RestError,
  type BlobHTTPHeaders,
  type BlockBlobClient,
} from '@azure/storage-blob';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import type { RepoPath } from '../domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../domain/sha256.ts';
import { SasToken, type SiteCredential } from './credentials.ts';
import { brokenOff, isReset, refusalError, type Doing, type Refusal } from './site-error.ts';
import type { BlobContent, Checksum, Expected, SiteStore, Written } from './site-store.ts';
import { Watchdog, type Patience } from './watchdog.ts';

export interface AzureSite {
  readonly name: string;
  readonly accountUrl: string;
  readonly container: string;
  /** Without slashes around it; empty for the root of the container. */
  readonly prefix: string;
}

export interface AzureLimits extends Patience {
  /** One Put Blob up to here, blocks of this size above, bytes. */
  readonly putBytes: number;
}

export const createAzureSiteStore = (site: AzureSite, credential: SiteCredential, limits: AzureLimits = LIMITS): SiteStore =>
  new AzureSiteStore(site, credential, limits);

/** Bytes handed to a socket at a time: the watchdog sees an upload move at this grain. */
const PIECE_BYTES = 64 * 1024;

type SdkDownload = Awaited<ReturnType<BlockBlobClient['download']>>;

interface Download extends Omit<Checksum, 'sha256'> {
  readonly bytes: AsyncIterable<Uint8Array>;
}

class AzureSiteStore implements SiteStore {
  readonly site: string;
  readonly #container: ContainerClient;
  readonly #containerName: string;
  readonly #prefix: string;
  readonly #limits: AzureLimits;

  constructor(site: AzureSite, credential: SiteCredential, limits: AzureLimits) {
    const url = `${site.accountUrl.replace(/\/+$/, '')}/${encodeURIComponent(site.container)}`;
    const bySas = credential instanceof SasToken;
    const pipeline = newPipeline(bySas ? new AnonymousCredential() : credential, {
      retryOptions: { maxTries: 1 },
      userAgentOptions: { userAgentPrefix: 'debgeo' },
    });
    this.site = site.name;
    this.#container = new ContainerClient(bySas ? credential.appendTo(url) : url, pipeline);
    this.#containerName = site.container;
    this.#prefix = site.prefix;
    this.#limits = limits;
  }

  async put(path: RepoPath, content: BlobContent, expected: Expected, signal: AbortSignal): Promise<Written | 'conflict'> {
    const blob = this.#blobAt(path);
    signal.throwIfAborted();
    try {
      return content.size <= this.#limits.putBytes
        ? await this.#putWhole(blob, path, content, expected, signal)
        : await this.#putBlocks(blob, path, content, expected, signal);
    } catch (error) {
      if (error instanceof Conflict || error instanceof Absent) return 'conflict';
      throw error;
    }
  }

  async checksum(path: RepoPath, signal: AbortSignal, etag?: string): Promise<Checksum | 'changed' | null> {
    const download = await this.#download(path, signal, etag);
    if (download === null || download === 'changed') return download;
    const sha256 = createHash('sha256');
    for await (const chunk of download.bytes) sha256.update(chunk);
    return { etag: download.etag, size: download.size, lastModified: download.lastModified, sha256: sha256.digest('hex') as Sha256 };
  }

  async open(path: RepoPath, signal: AbortSignal): Promise<{ etag: string; size: number; bytes: AsyncIterable<Uint8Array> } | null> {
    const download = await this.#download(path, signal);
    if (download === 'changed') throw new DebgeoError('SITE_REFUSED', `cannot ${this.#doing('read', path)}`, { found: '412' });
    return download;
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
      if (error instanceof Conflict) return (await this.#exists(blob, path, signal)) ? 'conflict' : 'gone';
      throw error;
    }
  }

  async #putWhole(blob: BlockBlobClient, path: RepoPath, content: BlobContent, expected: Expected, signal: AbortSignal): Promise<Written> {
    const bytes = await wholeOf(content, path);
    const md5 = content.md5 ?? createHash('md5').update(bytes).digest();

    const doing = this.#doing('write', path);
    // The type of the options leaves Content-MD5 out; the SDK sends it for Put Blob, too.
    const options = { ...writeOptions(content, expected, md5), transactionalContentMD5: md5 };
    const answer = await this.#request(doing, signal, bytes.length, (watchdog) =>
      blob.upload(bodyOf(bytes, watchdog), bytes.length, { ...options, abortSignal: watchdog.signal }),
    );
    return writtenOf(answer, doing);
  }

  /** Blocks that are never committed are not visible, and Azure drops them after a week. */
  async #putBlocks(blob: BlockBlobClient, path: RepoPath, content: BlobContent, expected: Expected, signal: AbortSignal): Promise<Written> {
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
        blob.stageBlock(id, bodyOf(block, watchdog), block.length, {
          transactionalContentMD5: createHash('md5').update(block).digest(),
          abortSignal: watchdog.signal,
        }),
      );
      ids.push(id);
      offset += block.length;
    }

    assertAnnounced(content, offset, sha256.digest('hex') as Sha256, path);
    const options = writeOptions(content, expected, md5.digest());
    const answer = await this.#request(doing, signal, 0, (watchdog) =>
      blob.commitBlockList(ids, { ...options, abortSignal: watchdog.signal }),
    );
    return writtenOf(answer, doing);
  }

  async #download(path: RepoPath, signal: AbortSignal, etag?: string): Promise<Download | 'changed' | null> {
    const blob = this.#blobAt(path);
    const doing = this.#doing('read', path);
    const watchdog = new Watchdog(signal, this.#limits, 0);
    try {
      watchdog.wait();
      const options = {
        conditions: etag === undefined ? {} : { ifMatch: etag },
        // The SDK would resume a broken body by itself: the lane decides what is read again.
        maxRetryRequests: 0,
        abortSignal: watchdog.signal,
      };
      const answer = await sent(() => blob.download(0, undefined, options));
      watchdog.rest();
      const head = headOf(answer, doing);
      watchdog.expect(head.size);
      return { ...head, bytes: this.#bytesOf(answer.readableStreamBody as Readable, watchdog, signal, doing) };
    } catch (error) {
      watchdog.end();
      const failure = failureOf(error, watchdog, signal, doing);
      if (failure instanceof Absent) return null;
      if (failure instanceof Conflict) return (await this.#exists(blob, path, signal)) ? 'changed' : null;
      throw failure;
    }
  }

  async *#bytesOf(body: Readable, watchdog: Watchdog, signal: AbortSignal, doing: Doing): AsyncGenerator<Uint8Array> {
    try {
      watchdog.wait();
      for await (const chunk of body as AsyncIterable<Buffer>) {
        watchdog.rest();
        yield chunk;
        watchdog.wait();
      }
    } catch (error) {
      throw failureOf(error, watchdog, signal, doing);
    } finally {
      watchdog.end();
      body.destroy();
    }
  }

  /** Azurite answers 412 to a condition on a blob that is not there: 412 alone does not tell absent from changed. */
  async #exists(blob: BlockBlobClient, path: RepoPath, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#request(this.#doing('look at', path), signal, 0, (watchdog) => blob.getProperties({ abortSignal: watchdog.signal }));
      return true;
    } catch (error) {
      if (error instanceof Absent) return false;
      throw error;
    }
  }

  async #request<T>(doing: Doing, signal: AbortSignal, bytes: number, send: (watchdog: Watchdog) => Promise<T>): Promise<T> {
    const watchdog = new Watchdog(signal, this.#limits, bytes);
    try {
      watchdog.wait();
      return await sent(() => send(watchdog));
    } catch (error) {
      throw failureOf(error, watchdog, signal, doing);
    } finally {
      watchdog.end();
    }
  }

  /** What goes out is compared with what is meant: the SDK builds the URL so that `..` leaves the prefix and the container. */
  #blobAt(path: RepoPath): BlockBlobClient {
    const name = this.#prefix === '' ? path : `${this.#prefix}/${path}`;
    let blob: BlockBlobClient | null;
    try {
      blob = this.#container.getBlockBlobClient(name);
    } catch {
      blob = null;
    }
    if (blob === null || blob.containerName !== this.#containerName || blob.name !== name) {
      throw new DebgeoError('HOSTILE_PATH', `a path would leave ${this.site}; nothing was requested`, {
        expected: `${this.#containerName}/${name}`,
        found: blob === null ? 'no blob at all' : `${blob.containerName}/${blob.name}`,
      });
    }
    return blob;
  }

  #doing(verb: string, path: RepoPath): Doing {
    return `${verb} ${path} at ${this.site}`;
  }
}

/** Something else is there, or this very write got through earlier. */
class Conflict extends Error {}
/** The container is there, the blob is not. */
class Absent extends Error {}

/**
 * A kept connection that the site closed just when a request went out is no failure: once more (RFC 9112 §9.3.1). Every write is conditional, so
 * that one which got through nevertheless is answered with a conflict, and looked at (I5).
 */
async function sent<T>(send: () => Promise<T>): Promise<T> {
  try {
    return await send();
  } catch (error) {
    if (isReset(error)) return await send();
    throw error;
  }
}

function failureOf(error: unknown, watchdog: Watchdog, signal: AbortSignal, doing: Doing): unknown {
  const refusal = refusalOf(error);
  if (refusal === null) return brokenOff(error, watchdog, signal, doing);
  if (isConflict(refusal)) return new Conflict();
  if (refusal.status === 404 && refusal.code === 'BlobNotFound') return new Absent();
  return refusalError(refusal, doing, 'SITE_DENIED');
}

function refusalOf(error: unknown): Refusal | null {
  if (!(error instanceof RestError) || error.statusCode === undefined || error.statusCode < 300) return null;
  const headers = error.response?.headers;
  return {
    status: error.statusCode,
    code: headers?.get('x-ms-error-code') ?? error.code ?? '',
    retryAfter: headers?.get('retry-after') ?? null,
  };
}

/**
 * 409 BlobAlreadyExists for If-None-Match, 412 for If-Match (Azurite: for both). InvalidBlockList: another writer committed meanwhile, which
 * throws away the staged blocks of all others. A lease (412, too) is not ours to wait for.
 */
function isConflict({ status, code }: Refusal): boolean {
  if (status === 412) return !code.startsWith('Lease');
  return code === 'BlobAlreadyExists' || code === 'InvalidBlockList';
}

function writeOptions(content: BlobContent, expected: Expected, md5: Uint8Array) {
  const blobHTTPHeaders: BlobHTTPHeaders = {
    blobContentType: content.contentType,
    blobCacheControl: content.cacheControl,
    blobContentMD5: md5,
  };
  return {
    blobHTTPHeaders,
    // For people and other programs; debgeo itself reads bytes.
    metadata: { sha256: content.sha256 },
    conditions: expected === 'nothing' ? { ifNoneMatch: '*' } : { ifMatch: expected.etag },
  };
}

function writtenOf(answer: { etag?: string; lastModified?: Date; date?: Date }, doing: Doing): Written {
  if (answer.etag === undefined || answer.lastModified === undefined) throw incomplete(doing);
  return { etag: answer.etag, lastModified: answer.lastModified.getTime(), siteClock: (answer.date ?? answer.lastModified).getTime() };
}

function headOf(answer: SdkDownload, doing: Doing): Omit<Checksum, 'sha256'> {
  if (answer.etag === undefined || answer.lastModified === undefined || answer.contentLength === undefined) throw incomplete(doing);
  return { etag: answer.etag, size: answer.contentLength, lastModified: answer.lastModified.getTime() };
}

const incomplete = (doing: Doing) =>
  new DebgeoError('SITE_UNREACHABLE', `cannot ${doing}: the answer is not that of a blob store`, { expected: 'ETag and Last-Modified' });

function bodyOf(bytes: Buffer, watchdog: Watchdog): Buffer | (() => Readable) {
  if (bytes.length <= PIECE_BYTES) return bytes;
  return () => Readable.from(pieces(bytes, watchdog), { objectMode: false, highWaterMark: PIECE_BYTES });
}

function* pieces(bytes: Buffer, watchdog: Watchdog): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
    watchdog.wait();
    yield bytes.subarray(start, start + PIECE_BYTES);
  }
}

/** All bytes in one buffer, known to be right before any of them goes out. */
async function wholeOf(content: BlobContent, path: RepoPath): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of content.bytes) {
    size += chunk.length;
    if (size > content.size) throw tooLong(content, path);
    chunks.push(chunk);
  }
  const [only] = chunks;
  const bytes =
    chunks.length === 1 && only !== undefined ? Buffer.from(only.buffer, only.byteOffset, only.byteLength) : Buffer.concat(chunks);
  assertAnnounced(content, size, sha256Of(bytes), path);
  return bytes;
}

/** The bytes in blocks of exactly `blockBytes`, the last one shorter. */
async function* blocksOf(content: BlobContent, blockBytes: number, path: RepoPath): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafe(blockBytes);
  let filled = 0;
  let size = 0;
  for await (const chunk of content.bytes) {
    size += chunk.length;
    if (size > content.size) throw tooLong(content, path);
    for (let taken = 0; taken < chunk.length;) {
      const part = chunk.subarray(taken, taken + blockBytes - filled);
      block.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled === blockBytes) {
        yield block;
        block = Buffer.allocUnsafe(blockBytes);
        filled = 0;
      }
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

function assertAnnounced(content: BlobContent, size: number, sha256: Sha256, path: RepoPath): void {
  if (size === content.size && sha256 === content.sha256) return;
  throw new DebgeoError('BLOB_MISMATCH', `the bytes for ${path} are not those announced; nothing was written`, {
    expected: `${content.size} bytes, SHA-256 ${content.sha256}`,
    found: `${size} bytes, SHA-256 ${sha256}`,
  });
}

const tooLong = (content: BlobContent, path: RepoPath) =>
  new DebgeoError('BLOB_MISMATCH', `more bytes for ${path} than announced; nothing was written`, {
    expected: `${content.size} bytes`,
    found: 'more',
  });

/** Random per call: writers that share block ids would publish each other's bytes. All ids of a blob have one length, as Azure demands. */
function blockId(writer: Buffer, offset: number): string {
  const place = Buffer.alloc(8);
  place.writeBigUInt64BE(BigInt(offset));
  return Buffer.concat([writer, place]).toString('base64');
}
