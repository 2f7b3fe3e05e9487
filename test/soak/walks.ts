/**
 * A reader in this process that takes the lists of a site, and reads what they name at once and
 * again shortly before the grace ends: what prune deletes too early is not there then.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { weigh } from '../../src/witness/ask-as-apt.ts';
import { walkIndices } from '../../src/witness/walk-site.ts';
import type { Cycling, Reader } from './clients.ts';
import { causeOf, type Cause } from './judge-failure.ts';

export interface WalkFault {
  readonly site: string;
  readonly path: string;
  readonly cause: Cause;
  readonly reason: string;
}

export interface WalkCounts {
  walks: number;
  /** Looks at a file that lists named so long ago. */
  late: number;
  readonly faults: WalkFault[];
}

interface Walking extends Pick<Cycling, 'readers' | 'did' | 'signal'> {
  readonly keyring: Uint8Array;
  readonly everyMs: number;
  /** Below the grace of the sites. */
  readonly lateMs: number;
  readonly failed: (fault: WalkFault) => void;
}

export async function walkAgainAndAgain(options: Walking): Promise<WalkCounts> {
  const counts: WalkCounts = { walks: 0, late: 0, faults: [] };
  const late: Promise<void>[] = [];
  for (let turn = 0; !options.signal.aborted; turn += 1) {
    const reader = options.readers[turn % options.readers.length]!;
    const members = await takeLists(reader, counts, options);
    await readAll(reader, members, counts, options);
    counts.walks += 1;
    late.push(readLate(reader, members, counts, options));
    await sleep(options.everyMs, undefined, { signal: options.signal }).catch(() => {});
  }
  await Promise.all(late);
  return counts;
}

async function readLate(
  reader: Reader,
  members: ReadonlyMap<string, string | null>,
  counts: WalkCounts,
  options: Walking,
): Promise<void> {
  const isOver = await sleep(options.lateMs, false, { signal: options.signal }).catch(() => true);
  if (isOver) return;
  counts.late += members.size;
  await readAll(reader, members, counts, options);
}

/** @returns the immutable files, each with its SHA-256 where the lists say it */
async function takeLists(
  reader: Reader,
  counts: WalkCounts,
  options: Walking,
): Promise<Map<string, string | null>> {
  const { url, suite } = reader;
  const from = Date.now();
  try {
    const walk = await walkIndices({ url, suite, keyring: options.keyring });
    return new Map<string, string | null>([
      ...[...walk.byHash].map((path) => [path, null] as const),
      ...[...walk.pool].map(([path, file]) => [path, file.sha256] as const),
    ]);
  } catch (error) {
    await note(reader, `dists/${suite}/InRelease`, String(error), from, counts, options);
    return new Map();
  }
}

async function readAll(
  reader: Reader,
  members: ReadonlyMap<string, string | null>,
  counts: WalkCounts,
  options: Walking,
): Promise<void> {
  for (const [path, sha256] of members) {
    const from = Date.now();
    let reason: string | null;
    try {
      const found = await weigh(reader.url, path);
      const isWrong = sha256 !== null && found.sha256 !== sha256;
      reason = found.status === 200 ? (isWrong ? 'other bytes' : null) : String(found.status);
    } catch (error) {
      reason = `connection: ${String(error)}`;
    }
    if (reason !== null) await note(reader, path, reason, from, counts, options);
  }
}

async function note(
  { site, suite, url }: Reader,
  path: string,
  reason: string,
  from: number,
  counts: WalkCounts,
  options: Walking,
): Promise<void> {
  const line = `E: Failed to fetch ${url}/${path}  ${reason}`;
  const cause = causeOf(line, url, await options.did(site, suite, from, Date.now()));
  const fault = { site, path, cause, reason };
  counts.faults.push(fault);
  options.failed(fault);
}
