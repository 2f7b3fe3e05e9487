/**
 * Why a test is skipped on this host, with the command that installs what it lacks; false where it
 * runs.
 */
import { spawnSync } from 'node:child_process';

import { findApt } from '../../src/witness/apt-client.ts';

export const needsApt =
  (await findApt()) === null
    ? 'needs apt: run it on Debian or Ubuntu, or apt-get install apt'
    : false;
export const NEEDS_APT = { skip: needsApt } as const;

const MAKERS = [
  ['gpg', 'gnupg'],
  ['apt-ftparchive', 'apt-utils'],
  ['aptly', 'aptly'],
  ['reprepro', 'reprepro'],
] as const;
const missing = MAKERS.filter(
  ([command]) => spawnSync(command, ['--version']).error !== undefined,
).map(([, name]) => name);
const needsMakers =
  missing.length === 0
    ? needsApt
    : `needs ${missing.join(', ')}: apt-get install --no-install-recommends ${missing.join(' ')}`;
/** For tests that have archives made by the tools that people make them with. */
export const NEEDS_ARCHIVE_MAKERS = { skip: needsMakers } as const;
/** For servers with TLS: a certificate of the hour. */
export const NEEDS_OPENSSL = {
  skip:
    spawnSync('openssl', ['version']).error === undefined
      ? false
      : 'needs openssl: apt-get install openssl',
} as const;
