/** Until when signatures of real keys are good, made by OpenPGP.js and by GnuPG. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { describeKeyring } from '../../src/archive/pinned-keys.ts';
import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import { judgeKeyExpiry } from '../../src/domain/key-expiry.ts';
import { hasGnupg, openGnupg } from './gnupg.ts';
import {
  BODY,
  inRelease,
  nothing,
  revoked,
  signedBy,
  subkeyExpired,
  subkeyOf,
  withSubkey,
} from './release-sets.ts';
import {
  armored,
  clearsigned,
  extendKey,
  type Holder,
  keyringOf,
  makeKey,
  signBytes,
  signText,
  yearsAgo,
} from './sign.ts';

const DAY_MS = 86_400_000;
const now = new Date();
/** Ends in a fifth of a year. */
const ending = await makeKey({ created: yearsAgo(4.8), years: 5 });
const fingerprintOf = (holder: Holder): string => holder.getFingerprint().toUpperCase();
const SUBKEY_ENDS = 4 * 365;

describe('the life of a good signature', () => {
  it('is that of its key, also where the keyring has it extended', async () => {
    const set = await signedBy(ending);
    const goodBy = async (keyring: Uint8Array) =>
      (await verifyReleaseSet(set, keyring, now)).good[0]!;

    const { keyUntil, ...rest } = await goodBy(keyringOf(ending));
    assert.deepEqual(rest, {
      fingerprint: fingerprintOf(ending),
      subkey: null,
      signatureUntil: null,
    });
    assert.ok(Math.abs(keyUntil! - now.getTime() - 0.2 * 365 * DAY_MS) < DAY_MS);

    const extended = keyringOf(ending, await extendKey(ending));
    assert.equal((await goodBy(extended)).keyUntil, null);
  });

  it('is that of the subkey that signed, and of the signature itself', async () => {
    const then = yearsAgo(1.5);
    const created = yearsAgo(2);
    const lifeSeconds = 270 * 24 * 3600;
    const signature = await signText(subkeyOf(subkeyExpired), BODY, { created, lifeSeconds });
    const set = inRelease(clearsigned(BODY, armored(signature)));

    const { good } = await verifyReleaseSet(set, keyringOf(subkeyExpired), then);

    const [one] = good;
    assert.equal(one?.subkey?.fingerprint, fingerprintOf(subkeyOf(subkeyExpired)));
    assert.equal(
      one.subkey.until,
      subkeyOf(subkeyExpired).getCreationTime().getTime() + SUBKEY_ENDS * DAY_MS,
    );
    assert.equal(one.signatureUntil, created.getTime() + lifeSeconds * 1_000);
    assert.match(
      judgeKeyExpiry(good, new Date(one.subkey.until - DAY_MS))?.found ?? '',
      /^signature of [0-9A-F]{40} expires /,
    );
    assert.match(
      judgeKeyExpiry([{ ...one, signatureUntil: null }], new Date(one.subkey.until - DAY_MS))
        ?.found ?? '',
      /^subkey [0-9A-F]{40} of [0-9A-F]{40} expires /,
    );
  });

  it('is told of Release.gpg where there is no InRelease, and of nobody if unsigned', async () => {
    const detached = {
      ...nothing,
      release: Buffer.from(BODY),
      releaseGpg: Buffer.from(armored(await signBytes(ending, Buffer.from(BODY)))),
    };
    const { good } = await verifyReleaseSet(detached, keyringOf(ending), now);
    assert.deepEqual(
      good.map(({ fingerprint }) => fingerprint),
      [fingerprintOf(ending)],
    );
    assert.deepEqual((await verifyReleaseSet(detached, null, now)).good, []);
  });

  it('is the same for keys that GnuPG made', { skip: !hasGnupg() }, async () => {
    const gnupg = openGnupg();
    try {
      gnupg.makeKey('soon', 'ed25519', '20d');
      gnupg.makeKey('late', 'ed25519', '400d');
      const signatures = async (...by: string[]) => {
        const options = by.flatMap((name) => ['--local-user', name]);
        const text = gnupg.sign(BODY, '--clearsign', ...options);
        const keyring = gnupg.publicKeys('soon', 'late');
        return (await verifyReleaseSet(inRelease(String(text)), keyring, new Date())).good;
      };

      assert.match(
        judgeKeyExpiry(await signatures('soon'), new Date())?.found ?? '',
        /^key [0-9A-F]{40} expires /,
      );
      assert.equal(judgeKeyExpiry(await signatures('late'), new Date()), null);
      assert.equal(judgeKeyExpiry(await signatures('soon', 'late'), new Date()), null);
    } finally {
      gnupg.close();
    }
  });
});

describe('a keyring', () => {
  it('is described key by key, with the subkeys that may sign', async () => {
    const [first, second] = await describeKeyring(keyringOf(subkeyExpired, ending), now);

    assert.deepEqual(first?.userIds, ['Archive <archive@example.org>']);
    assert.deepEqual([first.state, first.until], ['valid', null]);
    assert.deepEqual(
      first.subkeys.map(({ fingerprint, state }) => [fingerprint, state]),
      [[fingerprintOf(subkeyOf(subkeyExpired)), 'expired']],
    );
    assert.deepEqual([second?.fingerprint, second?.state], [fingerprintOf(ending), 'valid']);
    assert.deepEqual(second?.subkeys, []);
    const [gone] = await describeKeyring(keyringOf(revoked), now);
    assert.equal(gone?.state, 'revoked');
    const [usable] = await describeKeyring(keyringOf(withSubkey), now);
    assert.deepEqual(
      usable?.subkeys.map(({ state, until }) => [state, until]),
      [['valid', null]],
    );
  });

  it('holds keys from which nothing is accepted, and says so', async () => {
    const early = new Date(yearsAgo(6));
    const [ofFuture] = await describeKeyring(keyringOf(ending), early);

    assert.equal(ofFuture?.state, 'unusable');
  });
});
