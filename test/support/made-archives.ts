/**
 * Archives that the usual tools make and sign: folders as an operator has them, which no line of
 * ours had a part in.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Package, PoolFile } from '../../src/made-archive/deb-package.ts';

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

/** Makes archives, each signed by the one key of the workshop. */
export class Workshop {
  /** Holds an archive per call below. */
  readonly folder: string;
  /** Public key, binary: what signs everything that is made here. */
  readonly keyringFile: string;
  readonly #home: string;
  readonly #fingerprint: string;

  private constructor(folder: string, home: string) {
    this.folder = folder;
    this.#home = home;
    this.keyringFile = join(folder, 'keyring.gpg');
    this.#gpg(
      '--quick-generate-key',
      'an archive <archive@example.org>',
      'ed25519',
      'sign',
      'never',
    );
    const keys = String(this.#gpg('--with-colons', '--list-keys'));
    this.#fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(keys)![1]!;
  }

  static async open(): Promise<Workshop> {
    // Short: the name of a socket has 108 bytes.
    const folder = await mkdtemp(join(tmpdir(), 'debgeo-made-'));
    const home = join(folder, 'gnupg');
    await mkdir(home, { mode: 0o700 });
    const workshop = new Workshop(folder, home);
    await writeFile(workshop.keyringFile, workshop.#gpg('--export', workshop.#fingerprint));
    return workshop;
  }

  /** With sources, Release set of all three, without by-hash. @returns its root */
  async reprepro(suite: string, packages: readonly Package[]): Promise<string> {
    const root = join(this.folder, `reprepro-${suite}`);
    const files = await writeFiles(
      join(this.folder, 'incoming-reprepro'),
      filesOf(packages, ['binary', 'source']),
    );
    await mkdir(join(root, 'conf'), { recursive: true });
    await writeFile(
      join(root, 'conf/distributions'),
      `Codename: ${suite}\nComponents: main\nArchitectures: amd64 source\n` +
        `SignWith: ${this.#fingerprint}\n`,
    );
    const reprepro = (...args: string[]) =>
      this.#run('reprepro', ['--basedir', root, '--silent', ...REPREPRO_DEFAULTS, ...args]);
    reprepro('includedeb', suite, ...files.filter((file) => file.endsWith('.deb')));
    for (const file of files.filter((one) => one.endsWith('.dsc')))
      reprepro('--ignore=missingfield', 'includedsc', suite, file);
    return root;
  }

  /** By-hash as links. @returns its root */
  async aptly(suite: string, packages: readonly Package[]): Promise<string> {
    const config = join(this.folder, 'aptly.json');
    const rootDir = join(this.folder, 'aptly');
    await writeFile(config, JSON.stringify({ rootDir, gpgProvider: 'gpg' }));
    const incoming = join(this.folder, 'incoming-aptly');
    await writeFiles(incoming, filesOf(packages, ['binary', 'source']));
    const aptly = (...args: string[]) => this.#run('aptly', [`-config=${config}`, ...args]);
    const signed = [`-gpg-key=${this.#fingerprint}`, '-acquire-by-hash'];
    aptly('repo', 'create', `-distribution=${suite}`, '-component=main', 'made');
    aptly('repo', 'add', 'made', incoming);
    aptly('publish', 'repo', '-batch', ...signed, 'made', '.');
    return join(rootDir, 'public');
  }

  /**
   * Release and Release.gpg alone, without by-hash, in a folder that may have other suites; the
   * pool is `pool-SUITE`.
   */
  async aptFtparchive(root: string, suite: string, debs: readonly PoolFile[]): Promise<void> {
    const pool = `pool-${suite}`;
    await writeFiles(join(root, pool), debs);
    const suiteFolder = `dists/${suite}`;
    const place = join(root, suiteFolder, 'main/binary-amd64');
    await mkdir(place, { recursive: true });
    const packages = join(place, 'Packages');
    await writeFile(packages, this.#run('apt-ftparchive', ['packages', pool], root));
    this.#run('gzip', ['--keep', '--no-name', packages]);
    const release = await this.#writeRelease(root, suiteFolder, {
      Suite: suite,
      Codename: suite,
      Components: 'main',
      Architectures: 'amd64',
    });
    this.#gpg('--armor', '--detach-sign', '--output', `${release}.gpg`, release);
  }

  /** A flat archive in a folder of the root, InRelease alone. */
  async flatAptFtparchive(root: string, flat: string, packages: readonly Package[]): Promise<void> {
    const place = join(root, flat);
    await writeFiles(place, filesOf(packages, ['binary']));
    const index = this.#run('apt-ftparchive', ['packages', flat], root);
    await writeFile(join(place, 'Packages'), index);
    const release = await this.#writeRelease(root, flat, {
      Origin: 'flat',
      Architectures: 'amd64',
    });
    this.#gpg('--clearsign', '--output', join(place, 'InRelease'), release);
    await rm(release);
  }

  async close(): Promise<void> {
    spawnSync('gpgconf', ['--homedir', this.#home, '--kill', 'all']);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** @returns where Release is */
  async #writeRelease(
    root: string,
    folder: string,
    fields: Readonly<Record<string, string>>,
  ): Promise<string> {
    const options = Object.entries(fields).flatMap(([name, value]) => [
      '-o',
      `APT::FTPArchive::Release::${name}=${value}`,
    ]);
    const file = join(root, folder, 'Release');
    await writeFile(file, this.#run('apt-ftparchive', [...options, 'release', folder], root));
    return file;
  }

  #run(command: string, args: readonly string[], cwd = this.folder): Buffer {
    return execFileSync(command, args, {
      cwd,
      env: { ...process.env, GNUPGHOME: this.#home, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    });
  }

  #gpg(...args: string[]): Buffer {
    return this.#run('gpg', [...GPG_UNATTENDED, ...args]);
  }
}

const GPG_UNATTENDED = [
  ...['--batch', '--quiet', '--yes'],
  ...['--pinentry-mode', 'loopback', '--passphrase', ''],
];
const REPREPRO_DEFAULTS = ['--section', 'misc', '--priority', 'optional'];
