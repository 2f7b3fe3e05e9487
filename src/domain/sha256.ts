import { createHash } from 'node:crypto';

/** A SHA-256 digest as 64 lower-case hex digits. */
export type Sha256 = string & { readonly __sha256: never };

/** Of a digest as bytes. */
export const SHA256_BYTES = 32;

export const isSha256 = (text: string): text is Sha256 => /^[0-9a-f]{64}$/.test(text);

export const sha256Of = (bytes: Uint8Array): Sha256 =>
  createHash('sha256').update(bytes).digest('hex') as Sha256;

export const sha256FromBytes = (bytes: Uint8Array): Sha256 =>
  Buffer.from(bytes).toString('hex') as Sha256;
