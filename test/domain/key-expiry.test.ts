import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import {
  endOfTrust,
  type GoodSignature,
  judgeKeyExpiry,
  KEY_EXPIRES_MS,
} from '../../src/domain/key-expiry.ts';

const NOW = new Date('2026-12-01T00:00:00Z');
const inDays = (days: number): number => NOW.getTime() + days * 86_400_000;
const signed = (fingerprint: string, parts: Partial<GoodSignature> = {}): GoodSignature => ({
  fingerprint,
  keyUntil: null,
  subkey: null,
  signatureUntil: null,
  ...parts,
});
const bySubkey = (fingerprint: string, until: number | null): Partial<GoodSignature> => ({
  subkey: { fingerprint, until },
});
const SOON = signed('A', { keyUntil: inDays(20) });

/** What the promise says of these signatures: what ends within 30 days, and on which day. */
const CASES: Readonly<Record<string, readonly [readonly GoodSignature[], string | null]>> = {
  'a key that never ends': [[signed('A')], null],
  'nobody, where unsigned is allowed': [[], null],
  'a key that ends soon': [[SOON], 'key A expires 2026-12-21'],
  'a key that has ended': [[signed('A', { keyUntil: inDays(-1) })], 'key A expires 2026-11-30'],
  'a key that ends later': [[signed('A', { keyUntil: inDays(31) })], null],
  'a subkey that ends soon': [
    [signed('A', bySubkey('S', inDays(10)))],
    'subkey S of A expires 2026-12-11',
  ],
  'a certificate that ends before its subkey': [
    [signed('A', { keyUntil: inDays(5), ...bySubkey('S', inDays(10)) })],
    'key A expires 2026-12-06',
  ],
  'a subkey that lasts, of a certificate that ends soon': [
    [signed('A', { keyUntil: inDays(5), ...bySubkey('S', null) })],
    'key A expires 2026-12-06',
  ],
  'a successor that signs, too': [[SOON, signed('B')], null],
  'a successor that ends later': [[signed('B', { keyUntil: inDays(400) }), SOON], null],
  'a successor that ends soon, too': [
    [SOON, signed('B', { keyUntil: inDays(25) })],
    'key B expires 2026-12-26',
  ],
  'a signature that ends soon': [
    [signed('A', { signatureUntil: inDays(7) })],
    'signature of A expires 2026-12-08',
  ],
  'a signature that ends soon beside one that lasts': [
    [signed('B'), signed('A', { signatureUntil: inDays(7) })],
    'signature of A expires 2026-12-08',
  ],
  'a signature that ends after its key': [
    [signed('A', { keyUntil: inDays(3), signatureUntil: inDays(7) })],
    'key A expires 2026-12-04',
  ],
};

type Judge = (signatures: readonly GoodSignature[], now: Date) => { found?: string } | null;

function promise(judge: Judge): void {
  for (const [what, [signatures, expected]] of Object.entries(CASES)) {
    const found = judge(signatures, NOW)?.found?.replace(/T.*$/, '') ?? null;
    assert.equal(found, expected, what);
  }
}

describe('judgeKeyExpiry', () => {
  it('says what ends within 30 days, so that no release is accepted any more', () => {
    promise(judgeKeyExpiry);
  });

  it('counts 30 days to the millisecond', () => {
    const at = (ms: number) => [signed('A', { keyUntil: NOW.getTime() + ms })];
    assert.equal(judgeKeyExpiry(at(KEY_EXPIRES_MS), NOW)?.code, 'KEY_EXPIRES');
    assert.equal(judgeKeyExpiry(at(KEY_EXPIRES_MS + 1), NOW), null);
  });

  it('would be seen to be wrong if the first key that ends decided', () => {
    assert.throws(() =>
      promise((all, now) => firstOf(all.map((one) => judgeKeyExpiry([one], now)))),
    );
  });

  it('would be seen to be wrong if subkeys or signatures did not count', () => {
    const without =
      (part: Partial<GoodSignature>): Judge =>
      (all, now) =>
        judgeKeyExpiry(
          all.map((one) => ({ ...one, ...part })),
          now,
        );
    assert.throws(() => promise(without({ subkey: null })));
    assert.throws(() => promise(without({ signatureUntil: null })));
    assert.throws(() => promise(without({ keyUntil: null })));
  });

  it('knows the end that is far away, too', () => {
    assert.deepEqual(endOfTrust([signed('A', { keyUntil: inDays(400) })]), {
      at: inDays(400),
      what: 'key A',
    });
  });
});

const firstOf = <T>(all: readonly (T | null)[]): T | null =>
  all.find((one) => one !== null) ?? null;
