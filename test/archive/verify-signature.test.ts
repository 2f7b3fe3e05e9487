import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as openpgp from 'openpgp';

import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import { refusesWith } from '../support/refuses-with.ts';
import {
  BODY,
  ed25519,
  expired,
  inRelease,
  nothing,
  revoked,
  rsa,
  signedBy,
  stranger,
  subkey,
  withSubkey,
} from './release-sets.ts';
import {
  armored,
  clearsigned,
  extendKey,
  keyringOf,
  signBytes,
  signText,
  yearsAgo,
} from './sign.ts';

const now = new Date();

describe('verifyReleaseSet', () => {
  it('names the good primary keys, each once, and gives the body as it is in Release', async () => {
    const bySubkey = await signText(subkey, BODY);
    const byExpired = await signText(expired, BODY);
    const set = {
      ...inRelease(
        clearsigned(BODY, armored(bySubkey, byExpired, await signText(withSubkey, BODY))),
      ),
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
    await assert.rejects(
      verifyReleaseSet(set, keyringOf(expired), yearsAgo(0.5)),
      refusesWith('SIGNATURE_KEY_EXPIRED'),
    );
  });

  it('tells what was pinned and what signed', async () => {
    await assert.rejects(
      verifyReleaseSet(await signedBy(stranger), keyringOf(ed25519, rsa), now),
      ({ report }) => {
        assert.ok(
          report.expected.includes(ed25519.getFingerprint().toUpperCase()) &&
            report.expected.includes(rsa.getFingerprint().toUpperCase()),
        );
        assert.ok(report.found.includes(stranger.getFingerprint().toUpperCase()));
        return true;
      },
    );
  });

  for (const [form, keyring] of [
    ['binary', keyringOf(ed25519, rsa)],
    ['armored', Buffer.from(rsa.toPublic().armor())],
    [
      'several armored blocks with text between',
      Buffer.from(`our keys\n${ed25519.toPublic().armor()}\nand\n${rsa.toPublic().armor()}`),
    ],
  ] as const) {
    it(`reads a keyring that is ${form}`, async () => {
      const { signers } = await verifyReleaseSet(await signedBy(rsa), keyring, now);

      assert.equal(signers.length, 1);
    });
  }

  it('counts a revocation in either copy of a key that the keyring holds twice', async () => {
    await assert.rejects(
      verifyReleaseSet(await signedBy(rsa), keyringOf(rsa, revoked), now),
      refusesWith('SIGNATURE_KEY_REVOKED'),
    );
    await assert.rejects(
      verifyReleaseSet(await signedBy(rsa), keyringOf(revoked, rsa), now),
      refusesWith('SIGNATURE_KEY_REVOKED'),
    );
    await verifyReleaseSet(
      await signedBy(expired),
      keyringOf(expired, await extendKey(expired)),
      now,
    );
  });

  for (const [what, keyring] of [
    ['empty', Buffer.alloc(0)],
    ['text', Buffer.from('no key at all')],
    ['broken', keyringOf(rsa).subarray(0, 100)],
    ['a keybox', Buffer.concat([Buffer.from('00000020010100024b425866', 'hex'), Buffer.alloc(40)])],
    ['secret', Buffer.from(rsa.write())],
  ] as const) {
    it(`refuses a keyring that is ${what}`, async () => {
      await assert.rejects(
        verifyReleaseSet(await signedBy(rsa), keyring, now),
        refusesWith('CONFIG_INVALID'),
      );
    });
  }

  it('takes no Release that differs from InRelease, and no Release.gpg without it', async () => {
    const signed = await signedBy(rsa);
    const releaseGpg = Buffer.from(armored(await signBytes(rsa, Buffer.from(BODY))));
    const other = Buffer.from(`${BODY} 123 456 main/Packages\n`);

    for (const keyring of [keyringOf(rsa), null])
      for (const release of [other, null]) {
        const { taken, body } = await verifyReleaseSet(
          { ...signed, release, releaseGpg },
          keyring,
          now,
        );
        assert.deepEqual(taken, { ...nothing, inRelease: signed.inRelease });
        assert.equal(String(body), BODY);
      }
  });

  it('takes a Release.gpg beside InRelease only if it is accepted over the Release', async () => {
    const { inRelease: signed } = await signedBy(rsa);
    const taken = async (releaseGpg: Uint8Array | string) => {
      const set = {
        inRelease: signed,
        release: Buffer.from(BODY),
        releaseGpg: Buffer.from(releaseGpg),
      };
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
    await assert.rejects(
      verifyReleaseSet({ ...nothing, release: Buffer.from(BODY) }, keyringOf(rsa), now),
      refusesWith('RELEASE_UNSIGNED'),
    );
    await assert.rejects(
      verifyReleaseSet(nothing, keyringOf(rsa), now),
      refusesWith('RELEASE_MISSING'),
    );
    await assert.rejects(verifyReleaseSet(nothing, null, now), refusesWith('RELEASE_MISSING'));
  });

  it('without a keyring takes the body out of the frame, and a plain file as it is', async () => {
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

    await assert.rejects(
      verifyReleaseSet(set, keyringOf(rsa), now),
      refusesWith('SIGNATURE_MALFORMED'),
    );
  });
});
