/**
 * Finds the Temporal CLI, whose development server dev, demo, tests and bench run. One version for
 * all, because a state file of one version is not for another: the newest that installs from a Go
 * module proxy.
 *
 * In this order: DEBGEO_TEMPORAL_BINARY, debgeo's cache, PATH, Temporal's download, a build from
 * source.
 */
import { execFile, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

import { DebgeoError } from '../domain/errors.ts';
import { readEnvironment } from '../settings/environment.ts';

const CLI = '1.5.1';
const SERVER = '1.29.1';
const MODULE = `github.com/temporalio/cli/cmd/temporal@v${CLI}`;
const DOWNLOAD_ANSWER_MS = 5_000;
const DOWNLOAD_MS = 5 * 60_000;
const PROGRESS_MS = 20_000;

const execute = promisify(execFile);

export interface Search {
  readonly say: (line: string) => void;
  /** Ends a download or a build; nothing unfinished stays. */
  readonly signal: AbortSignal;
  /** Of the download; {platform} and {arch} are filled in. Temporal's own unless given. */
  readonly downloadUrl?: string;
}

const DOWNLOAD_URL =
  `https://temporal.download/cli/archive/v${CLI}` + '?platform={platform}&arch={arch}';

/**
 * The path of a binary with the server that debgeo is tested with.
 * @throws DebgeoError TEMPORAL_BINARY_MISSING: says what to install or to set
 */
export async function findTemporalBinary(search: Search): Promise<string> {
  const { DEBGEO_TEMPORAL_BINARY: named, DEBGEO_CACHE_DIR: cache } = readEnvironment();
  if (named !== null) return demand(named, search);
  const cached = join(cache, `temporal-${CLI}`, 'temporal');
  return (
    (await accept(cached, search)) ??
    (await acceptFromPath(search)) ??
    (await download(cached, search)) ??
    (await build(cached, search))
  );
}

async function demand(path: string, search: Search): Promise<string> {
  const version = await versionOf(path);
  if (isExpected(version)) return taken(path, version, search);
  throw new DebgeoError(
    'TEMPORAL_BINARY_MISSING',
    'DEBGEO_TEMPORAL_BINARY names no usable Temporal CLI',
    {
      expected: `a program whose --version says Server ${SERVER}`,
      found: `${path}: ${version ?? 'cannot be run'}`,
    },
  );
}

async function accept(path: string, search: Search): Promise<string | null> {
  if (!(await exists(path))) return null;
  const version = await versionOf(path);
  if (isExpected(version)) return taken(path, version, search);
  search.say(`not using ${path}: ${version ?? 'it cannot be run'}; Server ${SERVER} is needed`);
  return null;
}

async function acceptFromPath(search: Search): Promise<string | null> {
  for (const folder of (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((entry) => entry !== '')) {
    const found = await accept(join(folder, 'temporal'), search);
    if (found) return found;
  }
  return null;
}

/** A build from source calls itself 0.0.0-DEV: the version of its server counts. */
const isExpected = (version: string | null): version is string =>
  version?.includes(`Server ${SERVER},`) ?? false;

function taken(path: string, version: string, search: Search): string {
  search.say(`Temporal server: ${path} (${version})`);
  return path;
}

async function versionOf(path: string): Promise<string | null> {
  try {
    const { stdout } = await execute(path, ['--version'], { timeout: 10_000 });
    return stdout.trim();
  } catch {
    return null;
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function download(target: string, search: Search): Promise<string | null> {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const url = (search.downloadUrl ?? DOWNLOAD_URL)
    .replace('{platform}', process.platform)
    .replace('{arch}', arch);
  return inPrivateFolder(target, async (folder) => {
    const archive = join(folder, 'temporal.tar.gz');
    try {
      const response = await answerOf(url, search.signal);
      if (!response.ok || !response.body) throw new Error(`HTTP status ${response.status}`);
      search.say(`downloading the Temporal server, once: ${url}`);
      await pipeline(Readable.fromWeb(response.body), createWriteStream(archive));
      await execute('tar', ['-xzf', archive, '-C', folder, 'temporal'], { signal: search.signal });
    } catch (error) {
      search.signal.throwIfAborted();
      search.say(
        `the Temporal server cannot be downloaded from ${new URL(url).host} (${reasonOf(error)})`,
      );
      return null;
    }
    return install(join(folder, 'temporal'), target, search);
  });
}

/**
 * The answer must come within seconds, so that a host without the Internet goes on to the build;
 * the body within minutes.
 */
async function answerOf(url: string, signal: AbortSignal): Promise<Response> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new Error(`no answer within ${DOWNLOAD_ANSWER_MS / 1000} s`)),
    DOWNLOAD_ANSWER_MS,
  );
  try {
    return await fetch(url, {
      signal: AbortSignal.any([signal, late.signal, AbortSignal.timeout(DOWNLOAD_MS)]),
    });
  } finally {
    clearTimeout(timer);
  }
}

async function build(target: string, search: Search): Promise<string> {
  const go = await execute('go', ['version']).catch(() => null);
  if (!go) {
    throw new DebgeoError(
      'TEMPORAL_BINARY_MISSING',
      `no Temporal server was found, and without Go none can be built`,
      {
        expected:
          `Go 1.24 or newer in PATH, or \`temporal\` of CLI ${CLI} in PATH ` +
          `or named by DEBGEO_TEMPORAL_BINARY`,
        found: 'neither',
      },
    );
  }
  search.say('building the Temporal server from source, once: about 3 minutes');
  return inPrivateFolder(target, async (folder) => {
    await goInstall(folder, search);
    return install(join(folder, 'bin', 'temporal'), target, search);
  });
}

/** Modules and build cache (3 GB) are in the private folder too, and are deleted with it. */
async function goInstall(folder: string, search: Search): Promise<void> {
  const flags = (await execute('go', ['env', 'GOFLAGS'])).stdout.trim();
  const environment = {
    ...process.env,
    GOBIN: join(folder, 'bin'),
    GOCACHE: join(folder, 'build'),
    GOMODCACHE: join(folder, 'modules'),
    GOTMPDIR: folder,
    GOFLAGS: `${flags} -modcacherw`.trim(),
  };
  const began = Date.now();
  const progress = setInterval(
    () => search.say(`still building, ${Math.round((Date.now() - began) / 1000)} s`),
    PROGRESS_MS,
  );
  try {
    await runToEnd('go', ['install', MODULE], environment, search.signal);
  } finally {
    clearInterval(progress);
  }
}

/** In a process group of its own: `go` starts compilers, and the signal ends all of them. */
function runToEnd(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let output = '';
    child.stderr.on(
      'data',
      (chunk: Buffer) => (output = (output + chunk.toString()).slice(-2_000)),
    );
    const end = () => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL');
    signal.addEventListener('abort', end, { once: true });
    child.once('error', reject);
    child.once('close', (code) => {
      signal.removeEventListener('abort', end);
      if (code === 0) return resolve();
      reject(
        new DebgeoError('TEMPORAL_BINARY_MISSING', `\`${command} ${args.join(' ')}\` failed`, {
          expected: `a module proxy that has ${MODULE} (GOPROXY), and Go 1.24 or newer`,
          found: output.trim().slice(-600) || `exit code ${code}`,
        }),
      );
    });
  });
}

/**
 * The binary is checked before it gets its name. Two processes that build at once end with the same
 * file, and none ever sees half of one.
 */
async function install(made: string, target: string, search: Search): Promise<string> {
  const version = await versionOf(made);
  if (!isExpected(version)) {
    throw new DebgeoError(
      'TEMPORAL_BINARY_MISSING',
      'the Temporal CLI that was downloaded or built does not run',
      {
        expected: `Server ${SERVER}`,
        found: version ?? 'no version',
      },
    );
  }
  await rename(made, target);
  return taken(target, version, search);
}

async function inPrivateFolder<T>(
  target: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const parent = join(target, '..');
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, 'partial-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const reasonOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
};
