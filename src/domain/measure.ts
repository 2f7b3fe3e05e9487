/** Size and digests of bytes that come as a stream, to compare with what Release lists. */
import { createHash, type Hash } from 'node:crypto';

import type { Hashes, HashName } from './hashes.ts';
import type { Sha256 } from './sha256.ts';

export interface Measured {
  /** bytes */
  readonly size: number;
  readonly hashes: Hashes & { readonly SHA256: Sha256 };
}

const ALGORITHMS: Readonly<Record<HashName, string>> = {
  SHA512: 'sha512',
  SHA256: 'sha256',
  SHA1: 'sha1',
  MD5Sum: 'md5',
};

export class Measure {
  size = 0;
  readonly #hashes: ReadonlyMap<HashName, Hash>;

  /** @param wanted digests to compare with; the SHA-256 is made in any case */
  constructor(wanted: Hashes) {
    const names = new Set([...(Object.keys(wanted) as HashName[]), 'SHA256' as const]);
    this.#hashes = new Map([...names].map((name) => [name, createHash(ALGORITHMS[name])]));
  }

  add(bytes: Uint8Array): void {
    this.size += bytes.length;
    for (const hash of this.#hashes.values()) hash.update(bytes);
  }

  /** To be called once. */
  end(): Measured {
    const digests = [...this.#hashes].map(([name, hash]) => [name, hash.digest('hex')]);
    return { size: this.size, hashes: Object.fromEntries(digests) as Measured['hashes'] };
  }
}

/**
 * apt compares the size and every digest that Release lists, also those that it does not trust.
 * Null: they are the same.
 */
export function differenceOf(
  listed: { readonly size: number; readonly hashes: Hashes },
  { size, hashes }: Measured,
): { readonly expected: string; readonly found: string } | null {
  if (size !== listed.size) return { expected: `${listed.size} bytes`, found: `${size} bytes` };
  for (const [name, digest] of Object.entries(listed.hashes)) {
    const found = hashes[name as HashName];
    if (found !== digest) return { expected: `${name} ${digest}`, found: `${name} ${found}` };
  }
  return null;
}
