/** One version of a blob whose head was read: its bytes are read once, in one of two ways. */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';

import type { Checksum } from '../domain/checksum.ts';
import type { Sha256 } from '../domain/sha256.ts';
import { failureOf } from './azure-failures.ts';
import type { Pace } from './pace.ts';
import type { Doing } from './site-error.ts';
import type { Watchdog } from './watchdog.ts';

type Version = Omit<Checksum, 'sha256'>;

interface Reading {
  readonly watchdog: Watchdog;
  readonly pace: Pace;
  readonly signal: AbortSignal;
  readonly doing: Doing;
}

export class Download {
  readonly version: Version;
  readonly #body: Readable;
  readonly #reading: Reading;

  constructor(version: Version, body: Readable, reading: Reading) {
    this.version = version;
    this.#body = body;
    this.#reading = reading;
  }

  /**
   * By events, not as an iterator, which would cost a small blob as much again: each blob that is
   * written or verified is read here.
   */
  async sha256(): Promise<Sha256> {
    const body = this.#body;
    const { watchdog, pace, signal, doing } = this.#reading;
    const sha256 = createHash('sha256');
    const read = Promise.withResolvers<void>();
    let left = this.version.size;
    body.on('data', (chunk: Buffer) => {
      sha256.update(chunk);
      left -= chunk.length;
      const paid = pace.spend(chunk.length, signal);
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
      // An answer that the watchdog or the caller ended gives up its 'data' before it says 'end'.
      watchdog.signal.throwIfAborted();
      if (left !== 0) throw new Error(`the body ended ${left} bytes early`);
      return sha256.digest('hex') as Sha256;
    } catch (error) {
      throw failureOf(error, watchdog, signal, doing);
    } finally {
      watchdog.end();
      body.destroy();
    }
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    const { watchdog, pace, signal, doing } = this.#reading;
    try {
      watchdog.wait();
      for await (const chunk of this.#body as AsyncIterable<Buffer>) {
        watchdog.rest();
        await pace.spend(chunk.length, signal);
        yield chunk;
        watchdog.wait();
      }
    } catch (error) {
      throw failureOf(error, watchdog, signal, doing);
    } finally {
      watchdog.end();
      this.#body.destroy();
    }
  }
}
