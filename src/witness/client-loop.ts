/** Has a client read a site again and again, and keeps a record of every cycle. */
import type { Client, Outcome } from './client.ts';

/** Update with kept lists, update with empty lists, download of every package, each file hashed. */
export interface Cycle {
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Packages that were downloaded and have the right bytes. */
  readonly files: number;
  /** The site served another InRelease after the cycle than before: it overlapped a publication. */
  readonly overlapped: boolean;
  /** null, or which step failed and what the client printed. */
  readonly failure: string | null;
}

export interface ClientLoop {
  readonly cycles: readonly Cycle[];
  /** Resolves when the cycle in progress has ended. */
  stop(): Promise<readonly Cycle[]>;
}

export interface ClientLoopOptions {
  readonly client: Client;
  /** SHA-256 of a pool file by its name; undefined: the archive never released such a file. */
  readonly expected: (fileName: string) => string | undefined;
  /** What the site serves now, e.g. the ETag of InRelease. */
  readonly served: () => Promise<string>;
}

export function startClientLoop(options: ClientLoopOptions): ClientLoop {
  const cycles: Cycle[] = [];
  let stopping = false;
  const done = repeat();
  return {
    cycles,
    async stop() {
      stopping = true;
      await done;
      return cycles;
    },
  };

  async function repeat(): Promise<void> {
    while (!stopping) cycles.push(await runCycle(options));
  }
}

async function runCycle({ client, expected, served }: ClientLoopOptions): Promise<Cycle> {
  const startedAt = Date.now();
  const before = await served().catch(() => null);
  let files = 0;
  const failure = await readSite();
  const after = await served().catch(() => null);
  return {
    startedAt,
    endedAt: Date.now(),
    files,
    overlapped: before !== null && after !== null && before !== after,
    failure,
  };

  async function readSite(): Promise<string | null> {
    const kept = await client.update({ fresh: false });
    if (kept.exitCode !== 0) return describe('update with kept lists', kept);
    const fresh = await client.update({ fresh: true });
    if (fresh.exitCode !== 0) return describe('update with fresh lists', fresh);
    const names = await client.packages();
    if (names.length === 0) return 'update with fresh lists: no package in the lists';
    const download = await client.download(names);
    if (download.exitCode !== 0) return describe('download', download);
    if (download.files.length !== names.length)
      return `download: ${download.files.length} files for ${names.length} packages`;
    const wrong = download.files.find((file) => expected(file.name) !== file.sha256);
    if (wrong !== undefined) {
      const released = expected(wrong.name);
      return `download: ${wrong.name} has SHA-256 ${wrong.sha256}, released was ${released}`;
    }
    files = download.files.length;
    return null;
  }
}

const describe = (step: string, outcome: Outcome): string =>
  `${step}: exit code ${outcome.exitCode}\n${outcome.output}`;
