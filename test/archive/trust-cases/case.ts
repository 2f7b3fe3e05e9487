/** A case of trust, and how its Release set is made. */
import assert from 'node:assert/strict';

import * as openpgp from 'openpgp';

import type { ErrorCode } from '../../../src/domain/errors.ts';
import type { ReleaseSet } from '../../../src/domain/snapshot.ts';
import { BODY, inRelease, nothing, rsa } from '../release-sets.ts';
import { armored, clearsigned, makeKey, signBytes, withChecksum } from '../sign.ts';

export const body = Buffer.from(BODY);
/** Under the new number of its algorithm. */
export const newEd25519 = await makeKey({ type: { type: 'curve25519' } });

export const bytesOf = (set: ReleaseSet): Buffer => Buffer.from(set.inRelease ?? []);
/** InRelease as an attacker on the way changed it. The replacement must apply. */
export const edited = (set: ReleaseSet, from: string | RegExp, to: string): ReleaseSet => {
  const text = bytesOf(set).toString('latin1');
  const other = text.replace(from, to);
  assert.notEqual(other, text);
  return inRelease(Buffer.from(other, 'latin1'));
};
export const changed = (set: ReleaseSet): ReleaseSet =>
  edited(set, 'Suite: stable', 'Suite: stab1e');
export const summed = (set: ReleaseSet, checksum?: (right: string) => string): ReleaseSet =>
  inRelease(Buffer.from(withChecksum(bytesOf(set).toString('latin1'), checksum), 'latin1'));
export const signedOnce = async (...packets: openpgp.SignaturePacket[]): Promise<ReleaseSet> =>
  inRelease(clearsigned(BODY, armored(...packets)));
export const signedText = async (
  text: string,
  encoding: 'utf8' | 'latin1' = 'utf8',
): Promise<ReleaseSet> => {
  const signed = Buffer.from(text.replace(/[ \t]+$/gm, '').replace(/\n$/, ''), encoding);
  const signature = armored(await signBytes(rsa, signed, { type: openpgp.enums.signature.text }));
  return inRelease(Buffer.from(clearsigned(text, signature).toString(), encoding));
};
export const pairOf = async (releaseGpg: string): Promise<ReleaseSet> => ({
  ...nothing,
  release: body,
  releaseGpg: Buffer.from(releaseGpg),
});

export const pairOver = async (
  text: string,
  type: openpgp.enums.signature,
): Promise<ReleaseSet> => ({
  ...nothing,
  release: Buffer.from(text),
  releaseGpg: Buffer.from(armored(await signBytes(rsa, Buffer.from(text), { type }))),
});

export interface Case {
  readonly name: string;
  readonly set: ReleaseSet;
  /** The keyring of gpgv, binary; of debgeo and apt, too, unless `keyring` says otherwise. */
  readonly keys: readonly openpgp.Key[] | Uint8Array;
  readonly keyring?: Uint8Array;
  /** Null: accepted. */
  readonly code: ErrorCode | null;
  /** Why gpgv alone says something else. */
  readonly gpgvDiffers?: string;
  /** Why apt 2.6 says something else, in whichever direction. */
  readonly aptDiffers?: string;
}

export const FRAME =
  'gpgv reads the headers and line ends of the frame; apt gives it the text alone';
export const UNJUDGED =
  'gpgv says of one that it cannot judge it, and good of the other; apt refuses both';
export const STRICTER = 'stricter on purpose: OpenPGP programs differ from each other there';
export const NEWER = 'GnuPG 2.2 does not know the algorithm; sqv, which apt uses since 3.0, does';
export const DSA = 'apt since 2.7.13 refuses DSA';
export const APT_SPLITS =
  'gpgv looks for the signed block; apt splits the file itself and refuses what is outside';
