/** Release sets as archives sign them, and as no archive should. */
import * as openpgp from 'openpgp';

import type { ReleaseSet } from '../../src/domain/snapshot.ts';
import { BODY, inRelease, nothing } from '../archive/release-sets.ts';
import { armored, clearsigned, signBytes, type SignatureOptions } from '../archive/sign.ts';
import { ARMOR, PACKETS } from './armor.ts';
import { BYTES, type Change, Dice, LINES } from './dice.ts';
import { type SignerName, signers } from './keys.ts';
import { RELEASE_TEXT } from './release-text.ts';

export interface ReleaseSetCase {
  readonly kind: 'release-set';
  readonly set: ReleaseSet;
  /** Its place in `keyrings`. */
  readonly keyring: number;
  /** What was done to it, for a reader. */
  readonly changes: readonly string[];
}

interface Signed {
  readonly text: string;
  /** Of Release beside it; null: it is an InRelease. */
  readonly release: string | null;
  readonly changes: readonly string[];
}

/** Signed files are made once and then changed in many ways: signing costs more than judging. */
const BASES = 256;
const FRESH = 0.1;
const WHEN = new Date('2026-06-01T00:00:00Z');

const OPTIONS: readonly SignatureOptions[] = [
  { created: new Date('2099-01-01T00:00:00Z') },
  { created: new Date('2020-01-01T00:00:00Z') },
  { created: WHEN, lifeSeconds: 1 },
  { created: WHEN, criticalNotation: true },
  { created: WHEN, hash: openpgp.enums.hash.sha256 },
  { created: WHEN, hash: openpgp.enums.hash.sha384 },
  { created: WHEN, type: openpgp.enums.signature.binary },
  { created: WHEN, type: openpgp.enums.signature.standalone },
];
/** OpenPGP.js signs with SHA-1 only where RSA does. */
const OF_RSA = [...OPTIONS, { created: WHEN, hash: openpgp.enums.hash.sha1 }];
const OPTIONS_OF: Readonly<Record<SignerName, readonly SignatureOptions[]>> = {
  one: OPTIONS,
  other: OF_RSA,
  expired: OPTIONS,
  revoked: OPTIONS,
  stranger: OPTIONS,
};
const SIGNERS: readonly (readonly SignerName[])[] = [
  ['one'],
  ['one'],
  ['other'],
  ['one', 'other'],
  ['one', 'stranger'],
  ['stranger', 'one'],
  ['one', 'expired'],
  ['one', 'revoked'],
  ['stranger'],
  ['expired'],
  ['revoked'],
];

export class ReleaseSets {
  readonly #seed: number;
  readonly #bases = new Map<number, Signed>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  async make(dice: Dice): Promise<ReleaseSetCase> {
    const base = dice.chance(FRESH) ? await sign(dice) : await this.#base(dice.below(BASES));
    const changes = [...base.changes];
    let { text } = base;
    if (dice.chance(0.97))
      for (let left = dice.few(3); left > 0; left -= 1) {
        const change = dice.pick(dice.pick<readonly Change[]>([ARMOR, PACKETS, LINES, BYTES]));
        text = change.apply(text, dice);
        changes.push(change.name);
      }
    const bytes = Buffer.from(text, 'latin1');
    const set =
      base.release === null
        ? inRelease(bytes)
        : { ...nothing, release: Buffer.from(base.release, 'latin1'), releaseGpg: bytes };
    return { kind: 'release-set', set, keyring: dice.chance(0.8) ? 0 : 1, changes };
  }

  async #base(number: number): Promise<Signed> {
    let base = this.#bases.get(number);
    if (base === undefined) {
      base = await sign(new Dice(this.#seed ^ 0x5bd1e995, number));
      this.#bases.set(number, base);
    }
    return base;
  }
}

async function sign(dice: Dice): Promise<Signed> {
  const changes: string[] = [];
  let body = BODY;
  if (dice.chance(0.5))
    for (let left = dice.few(3); left > 0; left -= 1) {
      const change = dice.pick(dice.chance(0.8) ? RELEASE_TEXT : dice.pick([LINES, BYTES]));
      body = change.apply(body, dice);
      changes.push(`signed: ${change.name}`);
    }

  const isDetached = dice.chance(0.3);
  const packets: openpgp.SignaturePacket[] = [];
  const names = dice.pick(SIGNERS);
  changes.push(names.join('+'));
  for (const name of names) {
    const options = dice.chance(0.2) ? dice.pick(OPTIONS_OF[name]) : { created: WHEN };
    packets.push(
      isDetached
        ? await signBytes(signers[name], Buffer.from(body, 'latin1'), options)
        : await signLatin1(signers[name], body, options),
    );
  }
  const blocks = dice.chance(0.5) ? [armored(...packets)] : packets.map((one) => armored(one));
  const signatures = dice.chance(0.3)
    ? blocks.join('').replaceAll(/=[^\n]{4}\n-----END/g, '-----END')
    : blocks.join('');
  if (isDetached) return { text: signatures, release: body, changes };
  return { text: clearsigned(body, signatures).toString('utf8'), release: null, changes };
}

/** `signText` takes text, and here a character is a byte. */
const signLatin1 = (
  signer: openpgp.PrivateKey,
  body: string,
  options: SignatureOptions,
): Promise<openpgp.SignaturePacket> =>
  signBytes(signer, Buffer.from(body.replace(/[ \t]+$/gm, '').replace(/\n$/, ''), 'latin1'), {
    type: openpgp.enums.signature.text,
    ...options,
  });
