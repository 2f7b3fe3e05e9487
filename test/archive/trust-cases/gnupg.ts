/** Signed by GnuPG, with algorithms that it alone makes. */
import type { ReleaseSet } from '../../../src/domain/snapshot.ts';
import { type Gnupg, openGnupg } from '../gnupg.ts';
import { BODY, inRelease, nothing } from '../release-sets.ts';
import { APT_SPLITS, body, type Case, DSA } from './case.ts';

export function gnupgCases(): readonly Case[] {
  const gnupg = openGnupg();
  try {
    for (const algorithm of ['rsa3072', 'ed25519', 'dsa2048']) gnupg.makeKey(algorithm, algorithm);
    const keys = gnupg.publicKeys('rsa3072', 'ed25519');
    return [...casesInClear(gnupg, keys), ...detachedCases(gnupg, keys)];
  } finally {
    gnupg.close();
  }
}

function casesInClear(gnupg: Gnupg, keys: Buffer): readonly Case[] {
  const clear = (...options: string[]): ReleaseSet =>
    inRelease(gnupg.sign(BODY, '--clearsign', ...options));
  return [
    { name: 'GnuPG: RSA in clear', set: clear('-u', 'rsa3072'), keys, code: null },
    { name: 'GnuPG: Ed25519 in clear', set: clear('-u', 'ed25519'), keys, code: null },
    {
      name: 'GnuPG: two signers in clear',
      set: clear('-u', 'ed25519', '-u', 'rsa3072'),
      keys,
      code: null,
    },
    {
      name: 'GnuPG: a comment in the armor',
      set: clear('-u', 'rsa3072', '--comment', 'hello', '--emit-version'),
      keys,
      code: null,
    },
    {
      name: 'GnuPG: SHA-1',
      set: clear('-u', 'rsa3072', '--digest-algo', 'SHA1'),
      keys,
      code: 'SIGNATURE_INVALID',
    },
    {
      name: 'GnuPG: not dash-escaped',
      set: inRelease(
        gnupg.sign(`${BODY}-X: y\n`, '--clearsign', '--not-dash-escaped', '-u', 'rsa3072'),
      ),
      keys,
      code: 'SIGNATURE_MALFORMED',
      gpgvDiffers: APT_SPLITS,
    },
    {
      name: 'GnuPG: DSA',
      set: clear('-u', 'dsa2048'),
      keys: gnupg.publicKeys('dsa2048'),
      code: 'SIGNATURE_INVALID',
      gpgvDiffers: DSA,
      aptDiffers: DSA,
    },
  ];
}

function detachedCases(gnupg: Gnupg, keys: Buffer): readonly Case[] {
  const detached = (...options: string[]): ReleaseSet => ({
    ...nothing,
    release: body,
    releaseGpg: gnupg.sign(BODY, ...options),
  });
  return [
    {
      name: 'GnuPG: detached, armored',
      set: detached('--detach-sign', '-u', 'rsa3072', '--armor'),
      keys,
      code: null,
    },
    {
      name: 'GnuPG: detached, of text',
      set: detached('--detach-sign', '-u', 'ed25519', '--armor', '--textmode'),
      keys,
      code: null,
    },
    {
      name: 'GnuPG: detached, two signers',
      set: detached('--detach-sign', '-u', 'ed25519', '-u', 'rsa3072', '--armor'),
      keys,
      code: null,
    },
    {
      name: 'GnuPG: an inline message as Release.gpg',
      set: detached('--sign', '--armor', '-u', 'rsa3072'),
      keys,
      code: 'SIGNATURE_MALFORMED',
    },
  ];
}
