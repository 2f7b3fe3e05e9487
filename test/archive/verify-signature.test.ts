import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import * as openpgp from 'openpgp';
import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import { rejectsWith } from './archive-contract.ts';
import {
  armored,
  binary,
  clearsigned,
  extendKey,
  type Holder,
  keyringOf,
  makeKey,
  revokeKey,
  signBytes,
  signText,
  type SignatureOptions,
  yearsAgo,
} from './sign.ts';

const BODY = 'Origin: Test\nSuite: stable\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n';
const now = new Date();
const nothing: ReleaseSet = { inRelease: null, release: null, releaseGpg: null };
const signingSubkey = { sign: true, type: 'ecc', curve: 'ed25519Legacy' } as const;

const ed25519 = await makeKey();
const rsa = await makeKey({ rsaBits: 2048 });
const stranger = await makeKey();
const withSubkey = await makeKey({ subkeys: [signingSubkey] });
const subkey = subkeyOf(withSubkey);
const expired = await makeKey({ years: 4 });
const subkeyExpired = await makeKey({ subkeys: [{ ...signingSubkey, keyExpirationTime: 4 * 365 * 24 * 3600 }] });
const revoked = await revokeKey(rsa);
const subkeyRevoked = await withRevokedSubkey(withSubkey);
const weakRsa = await makeKey({ rsaBits: 1024 });
const encryptionSubkey = await makeKey({ rsaBits: 2048, subkeys: [{ sign: false, type: 'rsa', rsaBits: 2048 }] });
const young = await makeKey({ created: yearsAgo(1) });

function subkeyOf(key: openpgp.Key): openpgp.Subkey {
  const found = key.subkeys[0];
  assert.ok(found);
  return found;
}

async function withRevokedSubkey(key: openpgp.PrivateKey): Promise<openpgp.PublicKey> {
  const copy = await openpgp.readPrivateKey({ binaryKey: key.write() });
  const reason = { flag: openpgp.enums.reasonForRevocation.keySuperseded };
  copy.subkeys = [await subkeyOf(copy).revoke(copy.keyPacket as openpgp.SecretKeyPacket, reason, yearsAgo(0.1))];
  return copy.toPublic();
}

const inRelease = (bytes: Uint8Array | string): ReleaseSet => ({ ...nothing, inRelease: Buffer.from(bytes) });
const HASH_NAMES = { md5: 'MD5', sha1: 'SHA1', ripemd: 'RIPEMD160', sha256: 'SHA256', sha512: 'SHA512' } as const;
const signedBy = async (holder: Holder, options: Omit<SignatureOptions, 'hash'> & { hash?: keyof typeof HASH_NAMES } = {}) => {
  const { hash = 'sha512' } = options;
  const signature = await signText(holder, BODY, { ...options, hash: openpgp.enums.hash[hash] });
  return inRelease(clearsigned(BODY, armored(signature), HASH_NAMES[hash]));
};
const signedByBoth = async (one: Holder, other: Holder) =>
  inRelease(clearsigned(BODY, armored(await signText(one, BODY), await signText(other, BODY))));
const pair = async (holder: Holder, release = BODY, options?: SignatureOptions): Promise<ReleaseSet> => ({
  ...nothing,
  release: Buffer.from(release),
  releaseGpg: Buffer.from(armored(await signBytes(holder, Buffer.from(BODY), options))),
});
const changed = (set: ReleaseSet): ReleaseSet =>
  inRelease(
    Buffer.from(set.inRelease ?? [])
      .toString()
      .replace('Suite: stable', 'Suite: stab1e'),
  );

interface Case {
  readonly name: string;
  readonly set: ReleaseSet;
  readonly keys: openpgp.Key[];
  /** Null: accepted. */
  readonly code: ErrorCode | null;
  /** Why gpgv alone says something else. */
  readonly gpgvDiffers?: string;
}

const APT_SPLITS = 'gpgv looks for the signed block; apt splits the file itself and refuses what is outside';

const cases: Case[] = [
  { name: 'Ed25519', set: await signedBy(ed25519), keys: [ed25519], code: null },
  { name: 'RSA', set: await signedBy(rsa), keys: [ed25519, rsa], code: null },
  { name: 'a signing subkey of a pinned key', set: await signedBy(subkey), keys: [withSubkey], code: null },
  { name: 'Release.gpg', set: await pair(ed25519), keys: [ed25519], code: null },
  { name: 'Release.gpg of text', set: await pair(rsa, BODY, { type: openpgp.enums.signature.text }), keys: [rsa], code: null },
  {
    name: 'CRLF',
    set: inRelease(
      Buffer.from((await signedBy(rsa)).inRelease ?? [])
        .toString()
        .replaceAll('\n', '\r\n'),
    ),
    keys: [rsa],
    code: null,
  },
  {
    name: 'dashes and blanks at line ends',
    set: inRelease(clearsigned('-a: b\n- c \t\nd:  \n', armored(await signText(rsa, '-a: b\n- c \t\nd:  \n')))),
    keys: [rsa],
    code: null,
  },
  {
    name: 'text that is not ASCII',
    set: inRelease(clearsigned('Label: Größe\n', armored(await signText(rsa, 'Label: Größe\n')))),
    keys: [rsa],
    code: null,
  },
  { name: 'an unknown co-signer', set: await signedByBoth(stranger, ed25519), keys: [ed25519], code: null },
  { name: 'two pinned signers', set: await signedByBoth(rsa, ed25519), keys: [ed25519, rsa], code: null },
  { name: 'an expired co-signer', set: await signedByBoth(expired, ed25519), keys: [ed25519, expired], code: null },
  { name: 'a revoked co-signer', set: await signedByBoth(rsa, ed25519), keys: [ed25519, revoked], code: null },
  { name: 'an expired key that was extended since', set: await signedBy(expired), keys: [await extendKey(expired)], code: null },
  {
    name: 'two signature blocks',
    set: inRelease(clearsigned(BODY, armored(await signText(rsa, BODY)) + armored(await signText(ed25519, BODY)))),
    keys: [rsa],
    code: null,
  },
  { name: 'SHA-256', set: await signedBy(rsa, { hash: 'sha256' }), keys: [rsa], code: null },
  { name: 'a signature that expires later', set: await signedBy(rsa, { lifeSeconds: 365 * 24 * 3600 }), keys: [rsa], code: null },

  { name: 'an unknown key', set: await signedBy(stranger), keys: [ed25519, rsa], code: 'SIGNATURE_UNKNOWN_KEY' },
  { name: 'a changed body', set: changed(await signedBy(ed25519)), keys: [ed25519], code: 'SIGNATURE_INVALID' },
  { name: 'a changed body under an unknown key', set: changed(await signedBy(stranger)), keys: [ed25519], code: 'SIGNATURE_UNKNOWN_KEY' },
  { name: 'a torn Release and Release.gpg', set: await pair(ed25519, `${BODY} \n`), keys: [ed25519], code: 'SIGNATURE_INVALID' },
  {
    name: 'a good and a bad signature of pinned keys',
    set: inRelease(clearsigned(BODY, armored(await signText(ed25519, BODY), await signText(rsa, `${BODY}x`)))),
    keys: [ed25519, rsa],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a key expired since it signed',
    set: await signedBy(expired, { created: yearsAgo(2) }),
    keys: [expired],
    code: 'SIGNATURE_KEY_EXPIRED',
  },
  { name: 'a key expired before it signed', set: await signedBy(expired), keys: [expired], code: 'SIGNATURE_KEY_EXPIRED' },
  {
    name: 'a subkey expired since it signed',
    set: await signedBy(subkeyOf(subkeyExpired), { created: yearsAgo(2) }),
    keys: [subkeyExpired],
    code: 'SIGNATURE_KEY_EXPIRED',
  },
  { name: 'a revoked key', set: await signedBy(rsa), keys: [revoked], code: 'SIGNATURE_KEY_REVOKED' },
  {
    name: 'a signature older than the revocation',
    set: await signedBy(rsa, { created: yearsAgo(2) }),
    keys: [revoked],
    code: 'SIGNATURE_KEY_REVOKED',
  },
  { name: 'a revoked subkey', set: await signedBy(subkey), keys: [subkeyRevoked], code: 'SIGNATURE_KEY_REVOKED' },
  { name: 'SHA-1', set: await signedBy(rsa, { hash: 'sha1' }), keys: [rsa], code: 'SIGNATURE_INVALID' },
  { name: 'RIPEMD-160', set: await signedBy(rsa, { hash: 'ripemd' }), keys: [rsa], code: 'SIGNATURE_INVALID' },
  { name: 'MD5', set: await signedBy(rsa, { hash: 'md5' }), keys: [rsa], code: 'SIGNATURE_INVALID' },
  { name: 'an expired signature', set: await signedBy(rsa, { lifeSeconds: 60 }), keys: [rsa], code: 'SIGNATURE_INVALID' },
  {
    name: 'a signature older than its key',
    set: await signedBy(young, { created: yearsAgo(2) }),
    keys: [young],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'a signature of tomorrow',
    set: await signedBy(rsa, { created: new Date(Date.now() + 24 * 3600_000) }),
    keys: [rsa],
    code: 'SIGNATURE_INVALID',
    gpgvDiffers: 'gpgv does not compare the time of a signature with the clock; sqv, which apt uses since 3.0, does',
  },
  {
    name: 'RSA of 1024 bits',
    set: await signedBy(weakRsa),
    keys: [weakRsa],
    code: 'SIGNATURE_INVALID',
    gpgvDiffers: 'gpgv has no bound; apt since 2.7.13 asserts >=rsa2048',
  },
  {
    name: 'a subkey that may only encrypt',
    set: await signedBy(subkeyOf(encryptionSubkey)),
    keys: [encryptionSubkey],
    code: 'SIGNATURE_INVALID',
  },
  {
    name: 'text before the block',
    set: inRelease(Buffer.concat([Buffer.from('Suite: evil\n'), (await signedBy(rsa)).inRelease ?? Buffer.alloc(0)])),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  {
    name: 'text after the block',
    set: inRelease(Buffer.concat([(await signedBy(rsa)).inRelease ?? Buffer.alloc(0), Buffer.from('Suite: evil\n')])),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: APT_SPLITS,
  },
  { name: 'a page of HTML', set: inRelease('<html><title>Welcome</title></html>'), keys: [rsa], code: 'SIGNATURE_MALFORMED' },
  {
    name: 'a truncated InRelease',
    set: inRelease(((await signedBy(rsa)).inRelease ?? Buffer.alloc(0)).subarray(0, -60)),
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
  },
  {
    name: 'a binary Release.gpg',
    set: { ...(await pair(rsa)), releaseGpg: binary(await signBytes(rsa, Buffer.from(BODY))) },
    keys: [rsa],
    code: 'SIGNATURE_MALFORMED',
    gpgvDiffers: 'gpgv reads both; apt refuses the binary one',
  },
];

describe('verifyReleaseSet', () => {
  for (const { name, set, keys, code } of cases) {
    it(code === null ? `accepts ${name}` : `says ${code} for ${name}`, async () => {
      const verdict = verifyReleaseSet(set, keyringOf(...keys), now);

      if (code === null) await verdict;
      else await rejectsWith(verdict, code);
    });
  }

  it('names the primary keys that are good, each once, and gives the body as it is in Release', async () => {
    const bySubkey = await signText(subkey, BODY);
    const byExpired = await signText(expired, BODY);
    const set = {
      ...inRelease(clearsigned(BODY, armored(bySubkey, byExpired, await signText(withSubkey, BODY)))),
      release: Buffer.from(BODY),
    };

    const { signers, body } = await verifyReleaseSet(set, keyringOf(withSubkey, expired), now);

    assert.deepEqual(signers, [withSubkey.getFingerprint().toUpperCase()]);
    assert.equal(String(body), BODY);
  });

  it('accepts what OpenPGP.js signs in clear', async () => {
    const message = await openpgp.createCleartextMessage({ text: BODY.trimEnd() });
    const set = inRelease(await openpgp.sign({ message, signingKeys: [ed25519, rsa] }));

    const { signers, body } = await verifyReleaseSet(set, keyringOf(ed25519, rsa), new Date());

    assert.equal(signers.length, 2);
    assert.equal(String(body), BODY);
  });

  it('judges keys at the time that it is given', async () => {
    const set = await signedBy(expired, { created: yearsAgo(4) });

    await verifyReleaseSet(set, keyringOf(expired), yearsAgo(2));
    await rejectsWith(verifyReleaseSet(set, keyringOf(expired), yearsAgo(0.5)), 'SIGNATURE_KEY_EXPIRED');
  });

  it('tells what was pinned and what signed', async () => {
    await assert.rejects(verifyReleaseSet(await signedBy(stranger), keyringOf(ed25519, rsa), now), ({ report }) => {
      assert.ok(
        report.expected.includes(ed25519.getFingerprint().toUpperCase()) && report.expected.includes(rsa.getFingerprint().toUpperCase()),
      );
      assert.ok(report.found.includes(stranger.getFingerprint().toUpperCase()));
      return true;
    });
  });

  for (const [form, keyring] of [
    ['binary', keyringOf(ed25519, rsa)],
    ['armored', Buffer.from(rsa.toPublic().armor())],
    ['several armored blocks with text between', Buffer.from(`our keys\n${ed25519.toPublic().armor()}\nand\n${rsa.toPublic().armor()}`)],
  ] as const) {
    it(`reads a keyring that is ${form}`, async () => {
      const { signers } = await verifyReleaseSet(await signedBy(rsa), keyring, now);

      assert.equal(signers.length, 1);
    });
  }

  it('counts a revocation in either copy of a key that the keyring holds twice', async () => {
    await rejectsWith(verifyReleaseSet(await signedBy(rsa), keyringOf(rsa, revoked), now), 'SIGNATURE_KEY_REVOKED');
    await rejectsWith(verifyReleaseSet(await signedBy(rsa), keyringOf(revoked, rsa), now), 'SIGNATURE_KEY_REVOKED');
    await verifyReleaseSet(await signedBy(expired), keyringOf(expired, await extendKey(expired)), now);
  });

  for (const [what, keyring] of [
    ['empty', Buffer.alloc(0)],
    ['text', Buffer.from('no key at all')],
    ['broken', keyringOf(rsa).subarray(0, 100)],
    ['a keybox', Buffer.concat([Buffer.from('00000020010100024b425866', 'hex'), Buffer.alloc(40)])],
    ['secret', Buffer.from(rsa.write())],
  ] as const) {
    it(`refuses a keyring that is ${what}`, async () => {
      await rejectsWith(verifyReleaseSet(await signedBy(rsa), keyring, now), 'CONFIG_INVALID');
    });
  }

  it('takes no Release that differs from InRelease, nor a Release.gpg without it, also where unsigned is accepted', async () => {
    const signed = await signedBy(rsa);
    const releaseGpg = Buffer.from(armored(await signBytes(rsa, Buffer.from(BODY))));
    const other = Buffer.from(`${BODY} 123 456 main/Packages\n`);

    for (const keyring of [keyringOf(rsa), null])
      for (const release of [other, null]) {
        const { taken, body } = await verifyReleaseSet({ ...signed, release, releaseGpg }, keyring, now);
        assert.deepEqual(taken, { ...nothing, inRelease: signed.inRelease });
        assert.equal(String(body), BODY);
      }
  });

  it('takes a Release.gpg beside a good InRelease only if it would be accepted over the Release alone', async () => {
    const { inRelease: signed } = await signedBy(rsa);
    const taken = async (releaseGpg: Uint8Array | string) => {
      const set = { inRelease: signed, release: Buffer.from(BODY), releaseGpg: Buffer.from(releaseGpg) };
      const found = await verifyReleaseSet(set, keyringOf(rsa), now);
      assert.equal(found.taken.release, set.release);
      return found.taken.releaseGpg !== null;
    };

    assert.ok(await taken(armored(await signBytes(rsa, Buffer.from(BODY)))));
    assert.ok(!(await taken(armored(await signBytes(rsa, Buffer.from('another'))))));
    assert.ok(!(await taken(armored(await signBytes(stranger, Buffer.from(BODY))))));
    assert.ok(!(await taken('not a signature')));
  });

  it('says RELEASE_UNSIGNED for a Release alone, and RELEASE_MISSING for nothing', async () => {
    await rejectsWith(verifyReleaseSet({ ...nothing, release: Buffer.from(BODY) }, keyringOf(rsa), now), 'RELEASE_UNSIGNED');
    await rejectsWith(verifyReleaseSet(nothing, keyringOf(rsa), now), 'RELEASE_MISSING');
    await rejectsWith(verifyReleaseSet(nothing, null, now), 'RELEASE_MISSING');
  });

  it('takes the body out of the frame where no keyring is given, and a plain file as it is', async () => {
    const framed = await verifyReleaseSet(await signedBy(stranger), null, now);
    const plain = await verifyReleaseSet(inRelease(BODY), null, now);
    const release = await verifyReleaseSet({ ...nothing, release: Buffer.from(BODY) }, null, now);

    for (const { signers, body } of [framed, plain, release]) {
      assert.equal(String(body), BODY);
      assert.deepEqual(signers, []);
    }
  });

  it('refuses more signatures than any archive makes', async () => {
    const one = await signText(rsa, BODY);
    const set = inRelease(clearsigned(BODY, armored(...Array.from({ length: 33 }, () => one))));

    await rejectsWith(verifyReleaseSet(set, keyringOf(rsa), now), 'SIGNATURE_MALFORMED');
  });
});

const withoutGpgv = spawnSync('gpgv', ['--version']).status === 0 ? false : 'needs gpgv: apt-get install gpgv';

describe('gpgv, read as apt reads it', { skip: withoutGpgv }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-gpgv-'));
  after(() => rmSync(folder, { recursive: true }));

  /** apt: at least one good signature whose hash it trusts, and no bad one (methods/gpgv.cc). */
  function accepts(set: ReleaseSet, keyring: Uint8Array): boolean {
    const path = (name: string, bytes: Uint8Array | null): string => {
      writeFileSync(join(folder, name), bytes ?? '');
      return join(folder, name);
    };
    const files =
      set.inRelease === null ? [path('Release.gpg', set.releaseGpg), path('Release', set.release)] : [path('InRelease', set.inRelease)];
    const { stdout } = spawnSync('gpgv', ['--homedir', folder, '--keyring', path('keyring.gpg', keyring), '--status-fd', '1', ...files]);
    const status = String(stdout).split('\n');
    const good = status.some((line) => line.startsWith('[GNUPG:] GOODSIG '));
    const strong = status.some((line) => line.startsWith('[GNUPG:] VALIDSIG ') && !['1', '2', '3'].includes(line.split(' ')[9] ?? ''));
    return good && strong && !status.some((line) => line.startsWith('[GNUPG:] BADSIG '));
  }

  for (const { name, set, keys, code, gpgvDiffers } of cases) {
    it(gpgvDiffers === undefined ? `says the same of ${name}` : `differs on ${name}: ${gpgvDiffers}`, () => {
      assert.equal(accepts(set, keyringOf(...keys)), (code === null) === (gpgvDiffers === undefined));
    });
  }
});
