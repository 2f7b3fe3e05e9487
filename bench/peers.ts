/**
 * The programs that people use today, as Debian packages them, each as whole processes from the
 * archive to one Azure container. Where they have a setting for it, they get the concurrency of the
 * floor.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  AccountSASPermissions,
  generateAccountSASQueryParameters,
  SASProtocol,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';

import type { Corpus } from './corpus.ts';
import { startCountingProxy, type TlsFace } from './counting-proxy.ts';
import { secondsSince } from './installation.ts';
import { runProgram } from './run-program.ts';
import type { Place, Testbed } from './testbed.ts';

export const INSTALL = 'apt-get install -y --no-install-recommends';
const PARALLEL = '32';
const SAS_MS = 12 * 3_600_000;

export interface Peer {
  readonly name: string;
  /** Brings the place to what the archive serves now. May be repeated. @returns seconds */
  copy(): Promise<number>;
  close(): Promise<void>;
}

/** @returns how to install what is missing; null: nothing is */
export function missing(...programs: readonly string[]): string | null {
  const lacking = programs.filter((program) => versionOf(program) === null);
  return lacking.length === 0 ? null : `not installed: ${INSTALL} ${lacking.join(' ')}`;
}

export function versionOf(program: string): string | null {
  try {
    const args = program === 'aptly' || program === 'rclone' ? ['version'] : ['--version'];
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n', 1)[0]!
      .trim();
  } catch {
    return null;
  }
}

/**
 * http remote → azureblob. With a SAS: given an account and a key, rclone 1.60 takes only https and
 * hosts of Azure.
 */
export function rclone(archiveUrl: string, place: Place): Peer {
  const env = {
    ...rcloneEnvironment(place),
    RCLONE_CONFIG_ARCHIVE_TYPE: 'http',
    RCLONE_CONFIG_ARCHIVE_URL: `${archiveUrl}/`,
  };
  return {
    name: 'rclone',
    copy: () => timed(() => rcloneCopy('archive:', place, env)),
    close: async () => {},
  };
}

/** debmirror → disk, then rclone → azureblob: the pair that brings authenticated indices there. */
export function debmirrorAndRclone(
  testbed: Testbed,
  corpus: Corpus,
  archiveUrl: string,
  place: Place,
): Peer {
  const folder = join(testbed.folder, `debmirror-${place.container.containerName}`);
  const at = new URL(archiveUrl);
  const suites = corpus.suites.join(',');
  const args = [
    ...[
      `--host=${at.host}`,
      `--root=${at.pathname.slice(1)}`,
      `--method=http`,
      `--dist=${suites}`,
      '--section=main',
      '--arch=amd64',
    ],
    ...[
      '--nosource',
      '--getcontents',
      '--diff=none',
      '--rsync-extra=none',
      '--nocleanup',
      `--keyring=${corpus.keyring}`,
      folder,
    ],
  ];
  const env = { ...process.env, HOME: testbed.folder, GNUPGHOME: gnupgHome(testbed) };
  return {
    name: 'debmirror + rclone',
    copy: () =>
      timed(async () => {
        await runProgram('debmirror', args, { env });
        await rcloneCopy(folder, place, rcloneEnvironment(place));
      }),
    close: async () => rmSync(folder, { recursive: true, force: true }),
  };
}

/**
 * Mirror, snapshot, publish to an Azure endpoint. aptly's OpenPGP reads no Ed25519 keys, so that it
 * neither checks nor signs here; and it speaks only https, so that a proxy ends TLS in front of
 * Azurite. README.md says both beside its figures.
 */
export async function aptly(
  testbed: Testbed,
  corpus: Corpus,
  archiveUrl: string,
  place: Place,
): Promise<Peer> {
  const folder = join(testbed.folder, `aptly-${place.container.containerName}`);
  mkdirSync(folder);
  const tls = makeCertificate(folder, `${place.server.account}.blob.localhost`);
  const proxy = await startCountingProxy(place.server.url, tls);
  const config = join(folder, 'aptly.conf');
  const [suite] = corpus.suites as [string];
  const endpoint = {
    accountName: place.server.account,
    accountKey: place.server.key,
    container: place.container.containerName,
    prefix: 'debian',
    endpoint: new URL(proxy.url).host.slice(`${place.server.account}.`.length),
  };
  const settings = {
    rootDir: folder,
    downloadConcurrency: Number(PARALLEL),
    AzurePublishEndpoints: { bench: endpoint },
  };
  writeFileSync(config, JSON.stringify(settings), { mode: 0o600 });
  const env = { ...process.env, SSL_CERT_FILE: join(folder, 'certificate.pem') };
  const run = (...args: readonly string[]) =>
    runProgram('aptly', [`-config=${config}`, ...args], { env });
  let snapshots = 0;
  return {
    name: 'aptly',
    copy: () =>
      timed(async () => {
        if (snapshots === 0)
          await run(
            '-architectures=amd64',
            'mirror',
            'create',
            '-ignore-signatures',
            'bench',
            `${archiveUrl}/`,
            suite,
            'main',
          );
        await run('mirror', 'update', '-ignore-signatures', 'bench');
        const snapshot = `bench-${++snapshots}`;
        await run('snapshot', 'create', snapshot, 'from', 'mirror', 'bench');
        if (snapshots === 1)
          await run(
            'publish',
            'snapshot',
            '-skip-signing',
            `-distribution=${suite}`,
            snapshot,
            'azure:bench:',
          );
        else await run('publish', 'switch', '-skip-signing', suite, 'azure:bench:', snapshot);
      }),
    close: async () => {
      await proxy.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function makeCertificate(folder: string, host: string): TlsFace {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', certificate];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files],
    { stdio: 'ignore' },
  );
  return { key: readFileSync(key, 'utf8'), certificate: readFileSync(certificate, 'utf8'), host };
}

function rcloneEnvironment({ server }: Place): NodeJS.ProcessEnv {
  const credential = new StorageSharedKeyCredential(server.account, server.key);
  const sas = generateAccountSASQueryParameters(
    {
      services: 'b',
      resourceTypes: 'sco',
      permissions: AccountSASPermissions.parse('rwdlac'),
      protocol: SASProtocol.HttpsAndHttp,
      expiresOn: new Date(Date.now() + SAS_MS),
    },
    credential,
  );
  return {
    ...process.env,
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_SITE_TYPE: 'azureblob',
    RCLONE_CONFIG_SITE_SAS_URL: `${server.url}?${sas.toString()}`,
  };
}

/** `copy` deletes nothing, as debgeo here: a delete takes Azurite longer in a larger container. */
const rcloneCopy = (from: string, place: Place, env: NodeJS.ProcessEnv): Promise<string> =>
  runProgram(
    'rclone',
    [
      'copy',
      '--transfers',
      PARALLEL,
      '--checkers',
      PARALLEL,
      '--fast-list',
      from,
      `site:${place.container.containerName}/debian`,
    ],
    { env },
  );

function gnupgHome(testbed: Testbed): string {
  const folder = join(testbed.folder, 'gnupg');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return secondsSince(began);
}
