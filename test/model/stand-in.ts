/**
 * A site in memory: what `SiteStore` promises, without a server. `wire` says what becomes of each
 * request, so that a test can lose, delay or kill one. It passes the contract of real sites
 * (stand-in.test.ts).
 */
import { createHash } from 'node:crypto';

import type { Checksum } from '../../src/domain/checksum.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath, type RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import type { BlobContent, Expected, SiteStore, Written } from '../../src/site/site-store.ts';

export interface StoredBlob {
  readonly bytes: Buffer;
  readonly sha256: Sha256;
  readonly etag: string;
  /** Milliseconds since 1970, whole seconds. */
  readonly lastModified: number;
  readonly contentType: string;
  readonly cacheControl: string;
  readonly md5: Buffer;
}

export interface Request {
  readonly method: 'PUT' | 'GET' | 'DELETE';
  readonly path: RepoPath;
  /** With its question mark, or empty. */
  readonly query: string;
  readonly signal: AbortSignal;
  /** What is sent, of PUT. */
  readonly bytes?: Buffer;
}

/** Runs the effect of a request, or does not, and answers with what it gave, or throws. */
export type Wire = <T>(request: Request, effect: () => T) => Promise<T>;

/** What a program wrote or deleted, before it is so. */
export interface Change {
  readonly path: RepoPath;
  readonly before: StoredBlob | undefined;
  /** Undefined: deleted. */
  readonly after: StoredBlob | undefined;
}

/** A little later with every request, and as late as a test says. */
export class SiteClock {
  now: number;

  constructor(now: number) {
    this.now = now;
  }

  tick(ms = 3): number {
    this.now += ms;
    return this.now;
  }
}

const SECOND_MS = 1_000;
const straight: Wire = (_, effect) => Promise.resolve(effect());

export class StandIn {
  readonly blobs = new Map<RepoPath, StoredBlob>();
  readonly store: SiteStore;
  readonly clock: SiteClock;
  readonly #wire: Wire;
  readonly #putBytes: number;
  readonly #onChange: (change: Change) => void;
  #versions = 0;

  constructor(
    site: string,
    options: {
      readonly wire?: Wire;
      /** Larger blobs go in blocks. */
      readonly putBytes?: number;
      readonly clock?: SiteClock;
      readonly onChange?: (change: Change) => void;
    } = {},
  ) {
    this.#wire = options.wire ?? straight;
    this.#putBytes = options.putBytes ?? Infinity;
    this.clock = options.clock ?? new SiteClock(Date.now());
    this.#onChange = options.onChange ?? (() => undefined);
    this.store = {
      site,
      put: async (path, content, expected, signal) => this.#put(path, content, expected, signal),
      checksum: async (path, signal, etag) => this.#checksum(path, signal, etag),
      open: async (path, signal) => this.#open(path, signal),
      remove: async (path, etag, signal) => this.#remove(path, etag, signal),
    };
  }

  /** A version with these bytes; it is not stored. */
  versionOf(
    bytes: Buffer,
    headers: Pick<StoredBlob, 'contentType' | 'cacheControl'>,
    sha256 = sha256Of(bytes),
  ): StoredBlob {
    const { contentType, cacheControl } = headers;
    return {
      bytes,
      sha256,
      etag: `"0x${(++this.#versions).toString(16).toUpperCase().padStart(15, '0')}"`,
      lastModified: Math.floor(this.clock.tick() / SECOND_MS) * SECOND_MS,
      contentType,
      cacheControl,
      md5: createHash('md5').update(bytes).digest(),
    };
  }

  async #put(
    path: RepoPath,
    content: BlobContent,
    expected: Expected,
    signal: AbortSignal,
  ): Promise<Written | 'conflict'> {
    assertInside(path);
    signal.throwIfAborted();
    const bytes = await collect(content);
    const commit = (): Written | 'conflict' => this.#commit(path, bytes, content, expected);
    const send = <T>(query: string, sent: Buffer, effect: () => T): Promise<T> =>
      this.#wire({ method: 'PUT', path, query, signal, bytes: sent }, effect);
    if (bytes.length <= this.#putBytes) return send('', bytes, commit);
    for (let at = 0; at < bytes.length; at += this.#putBytes)
      await send('?comp=block', bytes.subarray(at, at + this.#putBytes), () => undefined);
    return send('?comp=blocklist', Buffer.alloc(0), commit);
  }

  #commit(
    path: RepoPath,
    bytes: Buffer,
    content: BlobContent,
    expected: Expected,
  ): Written | 'conflict' {
    const before = this.blobs.get(path);
    const isExpected =
      expected === 'nothing' ? before === undefined : before?.etag === expected.etag;
    if (!isExpected) return 'conflict';
    const after = this.versionOf(bytes, content, content.sha256);
    this.#onChange({ path, before, after });
    this.blobs.set(path, after);
    const { etag, lastModified } = after;
    return { etag, lastModified, siteClock: this.clock.now };
  }

  async #checksum(
    path: RepoPath,
    signal: AbortSignal,
    etag?: string,
  ): Promise<Checksum | 'changed' | null> {
    const found = await this.#get(path, signal);
    if (found === undefined) return null;
    if (etag !== undefined && found.etag !== etag) return 'changed';
    const { sha256, lastModified, bytes } = found;
    return { etag: found.etag, size: bytes.length, sha256, lastModified };
  }

  async #open(
    path: RepoPath,
    signal: AbortSignal,
  ): Promise<{ etag: string; size: number; bytes: AsyncIterable<Uint8Array> } | null> {
    assertInside(path);
    let broken: unknown = null;
    const found = await this.#get(path, signal).catch((error: unknown) => {
      // the answer begins, and breaks in its body
      if (!isBrokenBody(error)) throw error;
      broken = error;
      return this.blobs.get(path);
    });
    if (found === undefined) return null;
    const { etag, bytes } = found;
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += 65_536) {
        signal.throwIfAborted();
        yield bytes.subarray(at, at + 65_536);
        if (broken !== null) throw broken;
      }
      signal.throwIfAborted();
    }
    return { etag, size: bytes.length, bytes: body() };
  }

  async #get(path: RepoPath, signal: AbortSignal): Promise<StoredBlob | undefined> {
    assertInside(path);
    signal.throwIfAborted();
    return this.#wire({ method: 'GET', path, query: '', signal }, () => {
      this.clock.tick();
      return this.blobs.get(path);
    });
  }

  async #remove(path: RepoPath, etag: string, signal: AbortSignal): Promise<'gone' | 'conflict'> {
    assertInside(path);
    signal.throwIfAborted();
    return this.#wire({ method: 'DELETE', path, query: '', signal }, () => {
      this.clock.tick();
      const before = this.blobs.get(path);
      if (before === undefined) return 'gone';
      if (before.etag !== etag) return 'conflict';
      this.#onChange({ path, before, after: undefined });
      this.blobs.delete(path);
      return 'gone';
    });
  }
}

/** @throws HOSTILE_PATH what would go out is not the path that was meant */
function assertInside(path: RepoPath): void {
  if (parseRepoPath(path) === path) return;
  throw new DebgeoError('HOSTILE_PATH', `"${path}" is not the name of a blob`);
}

/** A download that ends in the middle, as the wire says it. */
const BROKEN_BODY = 'broken body';
export const brokenBody = (message: string): DebgeoError =>
  new DebgeoError('SITE_UNREACHABLE', message, { found: BROKEN_BODY });
const isBrokenBody = (error: unknown): boolean =>
  error instanceof DebgeoError && error.report.found === BROKEN_BODY;

/** @throws BLOB_MISMATCH the bytes are not those announced */
async function collect({ bytes, size, sha256 }: BlobContent): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece);
  const whole = Buffer.concat(pieces);
  const found = sha256Of(whole);
  if (whole.length === size && found === sha256) return whole;
  throw new DebgeoError('BLOB_MISMATCH', 'the bytes are not those announced', {
    expected: `${size} bytes, SHA-256 ${sha256}`,
    found: `${whole.length} bytes, SHA-256 ${found}`,
  });
}
