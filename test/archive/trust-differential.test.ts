/**
 * Trust, case by case: the verdict of debgeo beside those of gpgv and of the apt of this host. No
 * verdict may differ that is not listed with its reason, and where apt differs, debgeo refuses,
 * unless the reason says that the GnuPG of that apt is older than the algorithm.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import { findApt } from '../../src/witness/apt-client.ts';
import { needsApt } from '../support/needs.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { hasGnupg } from './gnupg.ts';
import { PACKAGES } from './release-sets.ts';
import { keyringOf } from './sign.ts';
import { armorCases } from './trust-cases/armor.ts';
import type { Case } from './trust-cases/case.ts';
import { frameCases } from './trust-cases/frames.ts';
import { gnupgCases } from './trust-cases/gnupg.ts';
import { keyCases } from './trust-cases/keys.ts';
import { releaseGpgCases } from './trust-cases/release-gpg.ts';
import { signatureCases } from './trust-cases/signatures.ts';

const cases: readonly Case[] = [
  ...keyCases,
  ...signatureCases,
  ...frameCases,
  ...armorCases,
  ...releaseGpgCases,
  ...(hasGnupg() ? gnupgCases() : []),
];

const keysOf = ({ keys }: Case): Uint8Array =>
  keys instanceof Uint8Array ? keys : keyringOf(...keys);
const folder = mkdtempSync(join(tmpdir(), 'debgeo-trust-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/**
 * As apt reads gpgv: at least one good signature whose hash it trusts, and none that is bad or has
 * expired (methods/gpgv.cc).
 */
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
  const status = String(stdout).split('\n');
  const good = status.some((line) => line.startsWith('[GNUPG:] GOODSIG '));
  const strong = status.some(
    (line) =>
      line.startsWith('[GNUPG:] VALIDSIG ') && !['1', '2', '3'].includes(line.split(' ')[9] ?? ''),
  );
  const refused = status.some((line) => /^\[GNUPG:\] (BADSIG|EXPSIG) /.test(line));
  return good && strong && !refused;
}

/** One apt with one source per case: what it accepts are those whose package it then knows. */
function aptAccepts(): ReadonlySet<Case> {
  const root = join(folder, 'apt');
  const write = (path: string, bytes: Uint8Array | string | null): void => {
    if (bytes === null) return;
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), bytes);
  };
  const sources = cases.map((one, index) => {
    const { set, keyring } = one;
    write(`${index}/dists/stable/InRelease`, set.inRelease);
    write(`${index}/dists/stable/Release`, set.release);
    write(`${index}/dists/stable/Release.gpg`, set.releaseGpg);
    write(`${index}/dists/stable/main/binary-amd64/Packages`, PACKAGES);
    const pinned = `${index}/keyring.${keyring === undefined ? 'gpg' : 'asc'}`;
    write(pinned, keyring ?? keysOf(one));
    return `deb [signed-by=${root}/${pinned}] file:${root}/${index} stable main\n`;
  });
  write('etc/sources.list', sources.join(''));
  for (const place of ['etc/parts', 'lists/partial', 'cache/archives/partial'])
    mkdirSync(join(root, place), { recursive: true });
  write('status', '');
  write(
    'apt.conf',
    `Dir "${root}"; Dir::Etc "${root}/etc"; Dir::Etc::main "apt.conf";
Dir::Etc::parts "${root}/etc/parts"; Dir::Etc::sourceparts "${root}/etc/parts";
Dir::Etc::trustedparts "${root}/etc/parts"; Dir::State "${root}"; Dir::State::lists "${root}/lists";
Dir::State::status "${root}/status"; Dir::Cache "${root}/cache";
Dir::Bin::methods "/usr/lib/apt/methods"; APT::Architecture "amd64";
APT::Architectures { "amd64"; }; APT::Sandbox::User "root"; APT::Update::Error-Mode "any";
Acquire::Check-Date "true"; Acquire::Check-Valid-Until "true"; Acquire::Languages "none";\n`,
  );
  const env = { ...process.env, APT_CONFIG: join(root, 'apt.conf'), LC_ALL: 'C' };
  spawnSync('apt-get', ['update'], { env }); // fails: some sources are refused
  const known = execFileSync('apt-cache', ['madison', 'hello'], { env, encoding: 'utf8' });
  return new Set(
    [...known.matchAll(/file:\S*\/(\d+) stable\/main/g)].map(([, index]) => cases[Number(index)]!),
  );
}

describe('trust', () => {
  it('is judged in enough cases', () => {
    assert.ok(cases.length >= 100, `${cases.length}`);
    assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length, 'each its name');
  });

  for (const one of cases) {
    const { name, set, code } = one;
    it(code === null ? `accepts ${name}` : `says ${code} for ${name}`, async () => {
      const verdict = verifyReleaseSet(set, one.keyring ?? keysOf(one), new Date());

      if (code === null) await verdict;
      else await assert.rejects(verdict, refusesWith(code));
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
describe('apt', { skip: needsApt }, () => {
  const accepted = needsApt === false ? aptAccepts() : new Set();
  for (const one of cases) {
    const { name, code, aptDiffers } = one;
    const skip = aptDiffers !== undefined && !listed && `listed for apt 2.6, this is ${version}`;
    it(
      aptDiffers === undefined ? `says the same of ${name}` : `differs on ${name}: ${aptDiffers}`,
      { skip },
      () => {
        assert.equal(accepted.has(one), (code === null) === (aptDiffers === undefined));
      },
    );
  }
});
