/** Real apt at every site and suite, cycle after cycle: update, then packages, each file hashed. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Client } from '../../src/witness/client.ts';
import type { SiteName, Suite } from './decisions.ts';
import { causeOf, type Cause, type SoakDid } from './judge-failure.ts';

export interface Reader {
  readonly site: SiteName;
  readonly suite: Suite;
  /** Root of the archive at the site. */
  readonly url: string;
  readonly client: Client;
}

export interface CycleFailure {
  readonly site: SiteName;
  readonly suite: Suite;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly cause: Cause | 'wrong bytes';
  readonly output: string;
}

export interface ClientCounts {
  cycles: number;
  /** Packages that were downloaded and have the right bytes. */
  files: number;
  readonly failures: CycleFailure[];
}

export interface Cycling {
  readonly readers: readonly Reader[];
  /** SHA-256 of what was released under this name of a pool file. */
  readonly released: (fileName: string) => string | undefined;
  readonly did: (site: SiteName, suite: Suite, from: number, to: number) => Promise<SoakDid>;
  readonly failed: (failure: CycleFailure) => void;
  readonly cyclesPerSecond: number;
  readonly signal: AbortSignal;
}

/** Lists are deleted in every so manieth cycle: most apts keep theirs. */
const FRESH_EVERY = 4;
/** Of the packages in the lists so many are downloaded in a cycle, others in each. */
const DOWNLOADS = 3;

export async function cycle(options: Cycling): Promise<ClientCounts> {
  const counts: ClientCounts = { cycles: 0, files: 0, failures: [] };
  let slot = performance.now();
  const nextSlot = async (): Promise<void> => {
    const now = performance.now();
    slot = Math.max(slot + 1_000 / options.cyclesPerSecond, now - 1_000);
    if (slot > now) await sleep(slot - now, undefined, { signal: options.signal });
  };
  const repeat = async (reader: Reader): Promise<void> => {
    let fresh = true;
    for (let turn = 0; !options.signal.aborted; turn += 1) {
      await nextSlot().catch(() => {});
      if (options.signal.aborted) return;
      const failure = await runCycle(reader, turn, fresh, counts, options);
      counts.cycles += 1;
      if (failure !== null) {
        counts.failures.push(failure);
        options.failed(failure);
      }
      // What apt keeps of a failure may fail again behind it, whatever the site serves.
      fresh = failure !== null || (turn + 1) % FRESH_EVERY === 0;
    }
  };
  await Promise.all(options.readers.map(repeat));
  return counts;
}

async function runCycle(
  { site, suite, url, client }: Reader,
  turn: number,
  fresh: boolean,
  counts: ClientCounts,
  { released, did }: Cycling,
): Promise<CycleFailure | null> {
  const startedAt = Date.now();
  const fail = async (output: string, wrong = false): Promise<CycleFailure> => {
    const endedAt = Date.now();
    const cause = wrong
      ? 'wrong bytes'
      : causeOf(output, url, await did(site, suite, startedAt, endedAt));
    return { site, suite, startedAt, endedAt, cause, output };
  };
  const updated = await client.update({ fresh });
  if (updated.exitCode !== 0) return fail(updated.output);
  const names = await client.packages();
  if (names.length === 0) return fail('no package in the lists');
  const wanted = Array.from(
    { length: Math.min(DOWNLOADS, names.length) },
    (_, index) => names[(turn * DOWNLOADS + index) % names.length]!,
  );
  const { exitCode, output, files } = await client.download(wanted);
  const wrong = files.find((file) => released(file.name) !== file.sha256);
  if (wrong !== undefined) return fail(`${wrong.name} has SHA-256 ${wrong.sha256}`, true);
  counts.files += files.length;
  if (exitCode !== 0) return fail(output);
  return files.length === new Set(wanted).size ? null : fail(`${files.length} files`);
}
