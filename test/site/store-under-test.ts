/** What the tests of the contract of SiteStore share. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import { parseRepoPath, type RepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import type { BlobContent, SiteStore, Written } from '../../src/site/site-store.ts';
import type { FaultProxy } from '../support/fault-proxy.ts';

/**
 * A store that splits above `putBytes`, a proxy through which all of its requests go, and a way to
 * read behind it.
 */
export interface StoreUnderTest {
  readonly store: SiteStore;
  readonly proxy: FaultProxy;
  /** Of the store's injected limits. */
  readonly putBytes: number;
  /** What is at a path, not through the store. */
  read(path: RepoPath): Promise<{
    bytes: Buffer;
    contentType: string | undefined;
    cacheControl: string | undefined;
    md5: Buffer | undefined;
  } | null>;
  /**
   * Replaces the bytes behind the store's back, keeping every header that claims something about
   * them.
   */
  tamper(path: RepoPath, bytes: Buffer): Promise<void>;
  stop(): Promise<void>;
}

export const NEVER = new AbortController().signal;

export const contentOf = (bytes: Buffer, pieceBytes = 10_000): BlobContent => ({
  size: bytes.length,
  sha256: sha256Of(bytes),
  bytes: inPieces(bytes, pieceBytes),
  contentType: 'application/octet-stream',
  cacheControl: 'no-cache',
});

export async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

/** By digest: the difference of two large buffers takes assert minutes to print. */
export const assertBytes = (actual: Buffer | undefined, expected: Buffer | undefined) =>
  assert.equal(
    actual === undefined ? 'nothing' : sha256Of(actual),
    expected === undefined ? 'nothing' : sha256Of(expected),
  );

export const written = (outcome: Written | 'conflict'): Written => {
  assert.notEqual(outcome, 'conflict');
  return outcome as Written;
};

/** The store of this run: not there before the tests begin. */
export type Under = () => StoreUnderTest;

let count = 0;
/** A path that no other test uses. */
export const fresh = (): RepoPath => parseRepoPath(`debian/pool/main/f/file_${++count}_amd64.deb`);

/** Both ways of writing: one request, and blocks (more than two, the last one short). */
export const bothWays = (under: Under): readonly (readonly [string, () => Buffer])[] => [
  ['in one request', () => randomBytes(under().putBytes)],
  ['in blocks', () => randomBytes(under().putBytes * 2 + 17)],
];
