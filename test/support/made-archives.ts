/**
 * Archives that the usual tools make and sign: folders as an operator has them, which no line of
 * ours had a part in.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Package, PoolFile } from '../../src/made-archive/deb-package.ts';

export interface Workshop {
  /** Public key, binary: what signs everything that is made here. */
  readonly keyringFile: string;
  /** Holds an archive per call below. */
  readonly folder: string;
  /** With sources, Release set of all three, without by-hash. @returns its root */
  reprepro(suite: string, packages: readonly Package[]): Promise<string>;
  /** By-hash as links. @returns its root */
  aptly(suite: string, packages: readonly Package[]): Promise<string>;
  /**
   * Release and Release.gpg alone, without by-hash, in a folder that may have other suites; the
   * pool is `pool-SUITE`.
   */
  aptFtparchive(root: string, suite: string, debs: readonly PoolFile[]): Promise<void>;
  /** A flat archive in a folder of the root, InRelease alone. */
  flatAptFtparchive(root: string, folder: string, packages: readonly Package[]): Promise<void>;
  close(): Promise<void>;
}

/** Files of binary packages; for a tool that takes them, those of source packages, too. */
export const filesOf = (packages: readonly Package[], kinds: readonly Package['kind'][]) =>
  packages
    .filter(({ kind }) => kinds.includes(kind))
    .flatMap((one) => (one.kind === 'binary' ? [one.file] : one.files));

async function writeFiles(folder: string, files: readonly PoolFile[]): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  for (const { name, bytes } of files) await writeFile(join(folder, name), bytes);
  return files.map(({ name }) => join(folder, name));
}

export async function openWorkshop(): Promise<Workshop> {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-made-')); // short: a socket has 108 bytes
  const home = join(folder, 'gnupg');
  await mkdir(home, { mode: 0o700 });
  const env = { ...process.env, GNUPGHOME: home, LC_ALL: 'C' };
  const run = (command: string, args: readonly string[], cwd = folder): Buffer =>
    execFileSync(command, args, {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    });
  const gpg = (...args: string[]): Buffer =>
    run('gpg', [
      '--batch',
      '--quiet',
      '--yes',
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
      ...args,
    ]);

  gpg('--quick-generate-key', 'an archive <archive@example.org>', 'ed25519', 'sign', 'never');
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(
    String(gpg('--with-colons', '--list-keys')),
  )![1]!;
  const keyringFile = join(folder, 'keyring.gpg');
  await writeFile(keyringFile, gpg('--export', fingerprint));
  const release = (
    suiteFolder: string,
    fields: Record<string, string>,
    form: 'detached' | 'inline',
    cwd: string,
  ): Promise<void> => {
    const options = Object.entries(fields).flatMap(([name, value]) => [
      '-o',
      `APT::FTPArchive::Release::${name}=${value}`,
    ]);
    const text = run('apt-ftparchive', [...options, 'release', suiteFolder], cwd);
    const place = join(cwd, suiteFolder);
    return writeFile(join(place, 'Release'), text).then(() => {
      if (form === 'detached')
        gpg(
          '--armor',
          '--detach-sign',
          '--output',
          join(place, 'Release.gpg'),
          join(place, 'Release'),
        );
      else gpg('--clearsign', '--output', join(place, 'InRelease'), join(place, 'Release'));
    });
  };

  return {
    keyringFile,
    folder,
    async reprepro(suite, packages) {
      const root = join(folder, `reprepro-${suite}`);
      const files = await writeFiles(
        join(folder, 'incoming-reprepro'),
        filesOf(packages, ['binary', 'source']),
      );
      await mkdir(join(root, 'conf'), { recursive: true });
      await writeFile(
        join(root, 'conf/distributions'),
        `Codename: ${suite}\nComponents: main\nArchitectures: amd64 source\nSignWith: ${fingerprint}\n`,
      );
      const reprepro = (...args: string[]) =>
        run('reprepro', [
          '--basedir',
          root,
          '--silent',
          '--section',
          'misc',
          '--priority',
          'optional',
          ...args,
        ]);
      reprepro('includedeb', suite, ...files.filter((file) => file.endsWith('.deb')));
      for (const file of files.filter((one) => one.endsWith('.dsc')))
        reprepro('--ignore=missingfield', 'includedsc', suite, file);
      return root;
    },
    async aptly(suite, packages) {
      const config = join(folder, 'aptly.json');
      await writeFile(
        config,
        JSON.stringify({ rootDir: join(folder, 'aptly'), gpgProvider: 'gpg' }),
      );
      const incoming = join(folder, 'incoming-aptly');
      await writeFiles(incoming, filesOf(packages, ['binary', 'source']));
      const aptly = (...args: string[]) => run('aptly', [`-config=${config}`, ...args]);
      aptly('repo', 'create', `-distribution=${suite}`, '-component=main', 'made');
      aptly('repo', 'add', 'made', incoming);
      aptly(
        'publish',
        'repo',
        '-batch',
        `-gpg-key=${fingerprint}`,
        '-acquire-by-hash',
        'made',
        '.',
      );
      return join(folder, 'aptly/public');
    },
    async aptFtparchive(root, suite, debs) {
      const pool = `pool-${suite}`;
      await writeFiles(join(root, pool), debs);
      const suiteFolder = `dists/${suite}`;
      const place = join(root, suiteFolder, 'main/binary-amd64');
      await mkdir(place, { recursive: true });
      await writeFile(join(place, 'Packages'), run('apt-ftparchive', ['packages', pool], root));
      run('gzip', ['--keep', '--no-name', join(place, 'Packages')]);
      await release(
        suiteFolder,
        { Suite: suite, Codename: suite, Components: 'main', Architectures: 'amd64' },
        'detached',
        root,
      );
    },
    async flatAptFtparchive(root, flat, packages) {
      await writeFiles(join(root, flat), filesOf(packages, ['binary']));
      await writeFile(
        join(root, flat, 'Packages'),
        run('apt-ftparchive', ['packages', flat], root),
      );
      await release(flat, { Origin: 'flat', Architectures: 'amd64' }, 'inline', root);
      await rm(join(root, flat, 'Release'));
    },
    async close() {
      spawnSync('gpgconf', ['--homedir', home, '--kill', 'all']);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
