/** Starts what the demo of any archive needs, from nothing: servers, tables, sites, worker. */
import type { ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { stringify } from 'yaml';

import type { DistributionStatus } from '../database/views/status.ts';
import { stackFolder } from '../settings/stack-file.ts';
import { startStack, type BlobServer, type Stack } from '../stack/stack.ts';
import { createAptClient, findApt } from '../witness/apt-client.ts';
import { createBuiltinClient } from '../witness/builtin-client.ts';
import type { ClientOptions } from '../witness/client.ts';
import { forkWorker } from '../worker/fork-worker.ts';
import { runScript } from './run-command.ts';
import { hold, type DemoSite, type Replicated, type Stage } from './stage.ts';

const DEBGEO = fileURLToPath(new URL('../main.ts', import.meta.url));
const WIPE_FOLDER = fileURLToPath(new URL('wipe-folder.ts', import.meta.url));

const CONTAINER = 'distributions';

export interface OpenStage {
  readonly stage: Stage;
  readonly folder: string;
  /** Rejects when a server or the worker ends by itself. */
  readonly broken: Promise<never>;
  close(): Promise<void>;
}

/** @param prepare makes the archive ready, in the emptied folder; answers what is replicated */
export async function openStage(
  say: (line: string) => void,
  prepare: (folder: string) => Promise<Replicated>,
): Promise<OpenStage> {
  const folder = stackFolder('demo');
  const wiped = await runScript(WIPE_FOLDER, [folder]);
  hold(wiped.exitCode === 0, `no other demo runs in ${folder}\n${wiped.stdout}${wiped.stderr}`);
  const stack = await startStack({ folder, blobs: ['fra', 'sin'], say });
  const closers: (() => Promise<void>)[] = [() => stack.stop()];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    const replicated = await prepare(folder);
    const [fra, sin] = await Promise.all(
      ['fra', 'sin'].map((name) =>
        openSite(
          stack.blobs.find((blobs) => blobs.name === name),
          folder,
          replicated.mount,
        ),
      ),
    );
    hold(fra !== undefined && sin !== undefined, 'both sites have a server');
    await writeConfiguration(folder, replicated, [fra, sin]);
    await migrate();
    const worker = forkWorker(workerLog(folder), { args: ['--demo'] });
    closers.push(() => stopWorker(worker));

    const stage = makeStage(stack, replicated, { folder, fra, sin }, await findApt(), say);
    return {
      stage,
      folder,
      broken: Promise.race([endOf(worker, folder), endOfStack(stack.ended)]),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function makeStage(
  { databaseUrl, temporalUi }: Stack,
  replicated: Replicated,
  { folder, fra, sin }: { folder: string; fra: DemoSite; sin: DemoSite },
  apt: string | null,
  say: (line: string) => void,
): Stage {
  const { distribution, suite } = replicated;
  let clients = 0;
  return {
    replicated,
    databaseUrl,
    temporalUi,
    configurationFile: configurationFile(folder),
    fra,
    sin,
    sites: [fra, sin],
    clientName: apt ?? 'built-in client',
    async client(site, reads) {
      clients += 1;
      const own = join(folder, 'clients', `${clients}-${site.name}`);
      const options: ClientOptions = { ...reads, url: site.url, suite, folder: own };
      return apt === null ? createBuiltinClient(options) : createAptClient(options);
    },
    async debgeo(args, { quiet = false, ...options } = {}) {
      if (!quiet) say(`$ debgeo ${args.join(' ')}`);
      const heard = (line: string) => say(`  ${line}`);
      return runScript(DEBGEO, [...args, '--demo'], quiet ? options : { ...options, heard });
    },
    async status() {
      const args = ['status', distribution, '--json', '--demo'];
      const result = await runScript(DEBGEO, args);
      hold(result.exitCode === 0, `debgeo status answers\n${result.stderr}`);
      const [found] = JSON.parse(result.stdout) as DistributionStatus[];
      hold(found !== undefined, `debgeo status knows ${distribution}`);
      return found;
    },
    say,
  };
}

/** Its blobs can be read anonymously, as those of a public site. */
async function openSite(
  blobs: BlobServer | undefined,
  folder: string,
  mount: string,
): Promise<DemoSite> {
  hold(blobs !== undefined, 'the site has a server');
  const credential = new StorageSharedKeyCredential(blobs.account, blobs.key);
  const container = new BlobServiceClient(blobs.url, credential).getContainerClient(CONTAINER);
  await container.create({ access: 'blob' });
  await writeFile(
    credentialFile(folder, blobs.name),
    `AccountName=${blobs.account};AccountKey=${blobs.key}\n`,
    { mode: 0o600 },
  );
  return { name: blobs.name, url: `${container.url}/${mount}`, blobFolder: blobs.folder };
}

const credentialFile = (folder: string, site: string): string => join(folder, `${site}.credential`);
const configurationFile = (folder: string): string => join(folder, 'demo.yaml');

async function writeConfiguration(
  folder: string,
  replicated: Replicated,
  sites: readonly DemoSite[],
): Promise<void> {
  const { distribution, suite, archiveUrl, mount, keyring, access, settings } = replicated;
  const keyringFile = join(folder, 'archive-keyring.gpg');
  if (keyring !== null) await writeFile(keyringFile, keyring);
  const trust = keyring === null ? { unsigned: true } : { keyring: keyringFile };
  const configuration = {
    // The demo's own archives are on this machine; any other is named by who starts the demo.
    archives: { [mount]: { url: archiveUrl, mount, private_network: true, ...trust, ...access } },
    sites: Object.fromEntries(
      sites.map(({ name, url }) => [
        name,
        {
          account_url: url.replace(`/${CONTAINER}/${mount}`, ''),
          container: CONTAINER,
          credential: { file: credentialFile(folder, name) },
        },
      ]),
    ),
    distributions: {
      [distribution]: {
        archive: mount,
        suite,
        sites: sites.map((site) => site.name),
        primary: 'fra',
        ...settings,
      },
    },
  };
  await writeFile(configurationFile(folder), stringify(configuration));
}

async function migrate(): Promise<void> {
  const migrated = await runScript(DEBGEO, ['migrate', '--demo']);
  hold(migrated.exitCode === 0, `debgeo migrate makes the tables\n${migrated.stderr}`);
}

const workerLog = (folder: string): string => join(folder, 'worker.log');

/** Longer than a slice, which takes 20 s at most: a worker that runs on then is stuck. */
const WORKER_STOP_MS = 30_000;

async function stopWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  worker.kill('SIGTERM');
  const deadline = setTimeout(() => worker.kill('SIGKILL'), WORKER_STOP_MS);
  await gone;
  clearTimeout(deadline);
}

const endOf = (worker: ChildProcess, folder: string): Promise<never> =>
  new Promise((_, reject) => {
    worker.once('exit', (code, signal) =>
      reject(new Error(`the worker ended (${signal ?? code}): see ${workerLog(folder)}`)),
    );
  });

async function endOfStack(ended: Promise<{ readonly message: string } | null>): Promise<never> {
  const reason = await ended;
  throw new Error(reason?.message ?? 'the servers were stopped');
}
