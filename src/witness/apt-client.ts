/**
 * A private apt: every folder that apt reads or writes lies in the client's own. The file that
 * APT_CONFIG names is read before all others, and names an empty folder for these (apt.conf(5)). So
 * the system's lists, cache, state and configuration are neither read nor written.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import {
  OUTPUT_CHARACTERS,
  type Client,
  type ClientOptions,
  type Download,
  type DownloadedFile,
  type Outcome,
} from './client.ts';

/** An apt that hangs is ended then; 200 small files take about a second. */
const COMMAND_MS_MAX = 120_000;

/** `apt 2.6.1`, or null on a host without apt. */
export async function findApt(): Promise<string | null> {
  const { exitCode, output } = await run('apt-get', ['--version'], {});
  const version = /^apt (\S+)/.exec(output)?.[1];
  return exitCode === 0 && version !== undefined ? `apt ${version}` : null;
}

export async function createAptClient(options: ClientOptions): Promise<Client> {
  const name = await findApt();
  if (name === null) throw new Error('there is no apt-get here');
  const root = resolve(options.folder);
  const apt = await prepareFolders(root, options);
  const archivesFolder = join(root, 'cache/archives');
  const downloadFolder = join(root, 'download');

  return {
    name,

    async update({ fresh }) {
      if (fresh) {
        await rm(join(root, 'lists'), { recursive: true, force: true });
        await mkdir(join(root, 'lists/partial'), { recursive: true });
      }
      return apt('apt-get', ['update']);
    },

    async packages() {
      const { output } = await apt('apt-cache', ['pkgnames'], { whole: true });
      return output.split('\n').filter((line) => line !== '');
    },

    async versionOf(packageName) {
      const { output } = await apt('apt-cache', ['policy', packageName]);
      const candidate = /^ {2}Candidate: (\S+)$/m.exec(output)?.[1];
      return candidate === undefined || candidate === '(none)' ? null : candidate;
    },

    async download(names) {
      await rm(downloadFolder, { recursive: true, force: true });
      await mkdir(downloadFolder, { recursive: true });
      const outcome = await apt('apt-get', ['download', ...names], { cwd: downloadFolder });
      return withFiles(outcome, downloadFolder);
    },

    async installDownloadOnly(packageName) {
      await rm(archivesFolder, { recursive: true, force: true });
      await mkdir(join(archivesFolder, 'partial'), { recursive: true });
      const outcome = await apt('apt-get', [
        'install',
        '--yes',
        '--download-only',
        '--no-install-recommends',
        packageName,
      ]);
      return withFiles(outcome, archivesFolder);
    },
  };
}

type Apt = (
  command: string,
  args: readonly string[],
  how?: { readonly cwd?: string; readonly whole?: boolean },
) => Promise<Outcome>;

async function prepareFolders(root: string, options: ClientOptions): Promise<Apt> {
  await Promise.all(
    [
      'lists/partial',
      'cache/archives/partial',
      'etc/parts',
      'etc/preferences.d',
      'etc/trusted.gpg.d',
      'log',
    ].map((folder) => mkdir(join(root, folder), { recursive: true })),
  );
  const keyring = join(root, 'etc/keyring.gpg');
  const trust = options.keyring === null ? 'trusted=yes' : `signed-by=${keyring}`;
  const source = `[${trust}] ${options.url} ${options.suite} ${options.components.join(' ')}`;
  const types = (options.sources ?? true) ? ['deb', 'deb-src'] : ['deb'];
  if (options.keyring !== null) await writeFile(keyring, options.keyring);
  await writeFile(
    join(root, 'etc/sources.list'),
    types.map((type) => `${type} ${source}\n`).join(''),
  );
  await writeFile(join(root, 'status'), '');
  const config = join(root, 'apt.conf');
  await writeFile(config, configurationOf(root, options.architecture));
  const kept = Object.entries(process.env).filter(([variable]) => !/_proxy$/i.test(variable));
  const env = {
    ...Object.fromEntries(kept),
    APT_CONFIG: config,
    LC_ALL: 'C',
    DEBIAN_FRONTEND: 'noninteractive',
  };
  return async (command, args, how = {}) => {
    // apt takes a file that is gone for an empty one, and would use the system's sources and lists.
    if (!existsSync(config)) return { exitCode: 127, output: `${config} is gone` };
    return run(command, args, { env, cwd: how.cwd ?? root, whole: how.whole ?? false });
  };
}

const configurationOf = (root: string, architecture: string): string => `\
Dir::Etc "${root}/etc";
Dir::Etc::main "apt.conf";
Dir::Etc::parts "${root}/etc/parts";
Dir::Etc::sourcelist "${root}/etc/sources.list";
Dir::Etc::sourceparts "${root}/etc/parts";
Dir::Etc::preferences "${root}/etc/preferences";
Dir::Etc::preferencesparts "${root}/etc/preferences.d";
Dir::Etc::netrc "${root}/etc/auth.conf";
Dir::Etc::netrcparts "${root}/etc/parts";
Dir::Etc::trusted "${root}/etc/trusted.gpg";
Dir::Etc::trustedparts "${root}/etc/trusted.gpg.d";
Dir::State "${root}";
Dir::State::lists "${root}/lists";
Dir::State::status "${root}/status";
Dir::State::extended_states "${root}/extended_states";
Dir::Cache "${root}/cache";
Dir::Cache::archives "${root}/cache/archives";
Dir::Log "${root}/log";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Ignore-Files-Silently { ".*"; };
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Check-Date "true";
Acquire::Check-Valid-Until "true";
Acquire::Languages { "en"; };
Acquire::http::Proxy "DIRECT";
Acquire::IndexTargets::deb::Contents-deb {
  MetaKey "$(COMPONENT)/Contents-$(ARCHITECTURE)";
  ShortDescription "Contents-$(ARCHITECTURE)";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Contents (deb)";
  flatMetaKey "Contents-$(ARCHITECTURE)";
  flatDescription "$(RELEASE) Contents (deb)";
  PDiffs "true";
  KeepCompressed "true";
  DefaultEnabled "true";
};
`;

async function withFiles(outcome: Outcome, folder: string): Promise<Download> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.deb'));
  const files = await Promise.all(names.map((name) => hashFile(folder, name)));
  return { ...outcome, files };
}

/** apt keeps the epoch in the name of a file, its colon as %3a; pools leave the epoch out. */
async function hashFile(folder: string, name: string): Promise<DownloadedFile> {
  const bytes = await readFile(join(folder, name));
  return {
    package: name.slice(0, name.indexOf('_')),
    name: name.replace(/_\d+%3a/, '_'),
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
}

function run(
  command: string,
  args: readonly string[],
  how: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string; readonly whole?: boolean },
): Promise<Outcome> {
  const { whole = false, ...options } = how;
  return new Promise((settle) => {
    execFile(
      command,
      args,
      { ...options, timeout: COMMAND_MS_MAX, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const output = `${stdout}${stderr}`;
        const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
        settle({ exitCode, output: whole ? output : output.slice(-OUTPUT_CHARACTERS) });
      },
    );
  });
}
