/**
 * Trust, case by case: the verdict of debgeo beside those of gpgv and of the apt of this host. No
 * verdict may differ that is not listed with its reason, and where apt differs, debgeo refuses,
 * unless the reason says that the GnuPG of that apt is older than the algorithm.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import { judgeFreshness } from '../../src/domain/freshness.ts';
import { parseRelease } from '../../src/domain/release.ts';
import { findApt } from '../../src/witness/apt-client.ts';
import { needsApt } from '../support/needs.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { hasGnupg } from './gnupg.ts';
import { keyringOf } from './sign.ts';
import { aptTakes, type Offered } from './trust-apt.ts';
import { armorCases } from './trust-cases/armor.ts';
import type { Case } from './trust-cases/case.ts';
import { frameCases } from './trust-cases/frames.ts';
import { gnupgCases } from './trust-cases/gnupg.ts';
import { keyCases } from './trust-cases/keys.ts';
import { packetCases } from './trust-cases/packets.ts';
import { releaseGpgCases } from './trust-cases/release-gpg.ts';
import { releaseTextCases } from './trust-cases/release-text.ts';
import { signatureCases } from './trust-cases/signatures.ts';
import { gpgvSays } from './trust-gpgv.ts';

const cases: readonly Case[] = [
  ...keyCases,
  ...signatureCases,
  ...frameCases,
  ...armorCases,
  ...packetCases,
  ...releaseGpgCases,
  ...releaseTextCases,
  ...(hasGnupg() ? gnupgCases() : []),
];

const offered = (one: Case): Offered => ({
  set: one.set,
  keyring: one.keyring ?? keysOf(one),
  isArmored: one.keyring !== undefined,
});
const keysOf = ({ keys }: Case): Uint8Array =>
  keys instanceof Uint8Array ? keys : keyringOf(...keys);
const folder = mkdtempSync(join(tmpdir(), 'debgeo-trust-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function gpgvAccepts(one: Case): boolean {
  const path = (name: string, bytes: Uint8Array | null): string => {
    writeFileSync(join(folder, name), bytes ?? '');
    return join(folder, name);
  };
  const { set } = one;
  const files =
    set.inRelease === null
      ? [path('Release.gpg', set.releaseGpg), path('Release', set.release)]
      : [path('InRelease', set.inRelease)];
  const { stdout } = spawnSync('gpgv', [
    '--homedir',
    folder,
    '--keyring',
    path('keyring.gpg', keysOf(one)),
    '--status-fd',
    '1',
    ...files,
  ]);
  return gpgvSays(String(stdout));
}

/** As a look judges: the signature, and then Release. */
async function judge(one: Case): Promise<void> {
  const now = new Date();
  const { body } = await verifyReleaseSet(one.set, one.keyring ?? keysOf(one), now);
  judgeFreshness(parseRelease(body), null, now, { acceptUndated: false });
}

describe('trust', () => {
  it('is judged in enough cases', () => {
    assert.ok(cases.length >= 100, `${cases.length}`);
    assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length, 'each its name');
  });

  for (const one of cases) {
    const { name, code } = one;
    it(code === null ? `accepts ${name}` : `says ${code} for ${name}`, async () => {
      if (code === null) await judge(one);
      else await assert.rejects(judge(one), refusesWith(code));
    });
  }
});

const needsGpgv =
  spawnSync('gpgv', ['--version']).status === 0 ? false : 'needs gpgv: apt-get install gpgv';
describe('gpgv, read as apt reads it', { skip: needsGpgv }, () => {
  for (const one of cases) {
    const { name, code, gpgvDiffers } = one;
    it(
      gpgvDiffers === undefined ? `says the same of ${name}` : `differs on ${name}: ${gpgvDiffers}`,
      () => {
        assert.equal(gpgvAccepts(one), (code === null) === (gpgvDiffers === undefined));
      },
    );
  }
});

const version = await findApt();
const listed = version?.startsWith('apt 2.6.') ?? false;
describe('apt', { skip: needsApt }, async () => {
  const taken = needsApt === false ? await aptTakes(join(folder, 'apt'), cases.map(offered)) : null;
  for (const [index, one] of cases.entries()) {
    const { name, code, aptDiffers } = one;
    const skip = aptDiffers !== undefined && !listed && `listed for apt 2.6, this is ${version}`;
    it(
      aptDiffers === undefined ? `says the same of ${name}` : `differs on ${name}: ${aptDiffers}`,
      { skip },
      () => {
        assert.equal(taken?.has(index), (code === null) === (aptDiffers === undefined));
      },
    );
  }
});
