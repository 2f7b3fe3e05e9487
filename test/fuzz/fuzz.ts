/**
 * Judges mutants of Release sets and of Packages beside gpgv and apt. gpgv judges every Release
 * set; apt every mutant that debgeo accepts, and one in a hundred of the others. A finding is one
 * that debgeo accepts and apt refuses, or of which apt would fetch what debgeo does not copy.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { verifyReleaseSet } from '../../src/archive/verify-signature.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { judgeFreshness } from '../../src/domain/freshness.ts';
import { PackagesReader } from '../../src/domain/index-file.ts';
import { parseRelease } from '../../src/domain/release.ts';
import { aptQuote } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import { PACKAGES } from '../archive/release-sets.ts';
import { aptAsksFor, aptTakes, type Asked } from '../archive/trust-apt.ts';
import { Dice } from './dice.ts';
import { gpgvJudges } from './gpgv.ts';
import { type IndexCase, makeIndex } from './indices.ts';
import { keyrings } from './keys.ts';
import { type ReleaseSetCase, ReleaseSets } from './release-sets.ts';

export type Case = ReleaseSetCase | IndexCase;
/** A code, `accepted`, or `not asked for` where apt finds no such index in the Release. */
type Verdict = string;

export interface Judged {
  readonly index: number;
  readonly one: Case;
  readonly ours: Verdict;
  /** Null: not asked. */
  readonly gpgv: boolean | null;
  readonly apt: boolean | null;
}

export interface Report {
  readonly cases: number;
  readonly accepted: number;
  /** Cases of which apt was asked. */
  readonly asked: number;
  readonly seconds: number;
  /** Verdicts of debgeo, gpgv and apt, and how often they came together. */
  readonly kinds: ReadonlyMap<string, number>;
  readonly findings: readonly Judged[];
}

export const ACCEPTED = 'accepted';
/** Cases that gpgv judges at once, and at least so many that apt does. */
const BATCH = 256;
/** A share of what debgeo refuses. */
const ASKED_ANYWAY = 0.01;
const SHARE_OF_INDICES = 0.4;

interface FuzzOptions {
  readonly seed: number;
  /** Asked with the cases so far, before every batch. */
  readonly isEnough: (cases: number) => boolean;
  readonly batch?: number;
  /** Instead of debgeo: a planted fault. */
  readonly judge?: (one: Case) => Promise<Verdict>;
}

export async function fuzz(options: FuzzOptions): Promise<Report> {
  const { seed, isEnough, batch = BATCH } = options;
  const began = performance.now();
  const run = new Run(seed, options.judge ?? judge);
  try {
    let cases = 0;
    for (; !isEnough(cases); cases += batch) await run.batch(cases, batch);
    await run.flush();
    return { ...run.report(), cases, seconds: (performance.now() - began) / 1000 };
  } finally {
    run.close();
  }
}

/** The case of a number, which is the same for the same seed. */
export async function caseOf(seed: number, index: number, sets: ReleaseSets): Promise<Case> {
  const dice = new Dice(seed, index);
  return dice.chance(SHARE_OF_INDICES) ? makeIndex(dice, index) : sets.make(dice);
}

/** What debgeo says of it, as a look and a capture of it would. */
export async function judge(one: Case): Promise<Verdict> {
  try {
    if (one.kind === 'index') copied(one.index);
    else if (!(await isWanted(one))) return 'not asked for';
    return ACCEPTED;
  } catch (error) {
    if (error instanceof DebgeoError) return error.code;
    throw error;
  }
}

async function isWanted({ set, keyring }: ReleaseSetCase): Promise<boolean> {
  const now = new Date();
  const { body } = await verifyReleaseSet(set, keyrings[keyring]!, now);
  const release = parseRelease(body);
  judgeFreshness(release, null, now, { acceptUndated: false });
  const entry = release.entries.get('main/binary-amd64/Packages');
  return (
    entry?.size === PACKAGES.length &&
    entry.hashes.SHA256 === sha256Of(PACKAGES) &&
    Object.keys(entry.hashes).length === 1 &&
    release.architectures.includes('amd64')
  );
}

function copied(index: Uint8Array): Asked[] {
  const asked: Asked[] = [];
  const reader = new PackagesReader('', ({ path, size, sha256 }) =>
    asked.push({ path: aptQuote(path), size: String(size), hash: `SHA256:${sha256}` }),
  );
  const half = index.length >> 1;
  reader.push(index.subarray(0, half));
  reader.push(index.subarray(half));
  reader.end();
  return asked;
}

/** Whether all that apt would fetch is copied, under the same digest. */
function isCopied(index: Uint8Array, asked: readonly Asked[] | null): boolean {
  if (asked === null) return false;
  const known = new Set(copied(index).map((one) => JSON.stringify(one)));
  return asked.every((one) => known.has(JSON.stringify(one)));
}

/** What is to be judged by apt: it costs as much for one as for hundreds. */
interface Waiting {
  readonly index: number;
  readonly one: Case;
  readonly ours: Verdict;
  readonly gpgv: boolean | null;
}

class Run {
  readonly #seed: number;
  readonly #judge: (one: Case) => Promise<Verdict>;
  readonly #sets: ReleaseSets;
  readonly #folder = mkdtempSync(join(tmpdir(), 'debgeo-fuzz-'));
  readonly #kinds = new Map<string, number>();
  readonly #findings: Judged[] = [];
  #waiting: Waiting[] = [];
  #apt: Promise<void> = Promise.resolve();
  #accepted = 0;
  #asked = 0;

  constructor(seed: number, judgeOne: (one: Case) => Promise<Verdict>) {
    this.#seed = seed;
    this.#judge = judgeOne;
    this.#sets = new ReleaseSets(seed);
    for (const [index, keyring] of keyrings.entries())
      writeFileSync(join(this.#folder, `${index}.gpg`), keyring);
  }

  async batch(from: number, count: number): Promise<void> {
    const cases: Case[] = [];
    for (let index = from; index < from + count; index += 1)
      cases.push(await caseOf(this.#seed, index, this.#sets));
    const sets = cases.filter((one) => one.kind === 'release-set');
    const gpgv = gpgvJudges(
      join(this.#folder, 'gpgv'),
      sets.map(({ set, keyring }) => ({ set, keyring: join(this.#folder, `${keyring}.gpg`) })),
    );
    const ours: Verdict[] = [];
    for (const one of cases) ours.push(await this.#judge(one));
    const says = await gpgv;

    for (const [at, one] of cases.entries()) {
      const index = from + at;
      const isAccepted = ours[at] === ACCEPTED;
      const found = sets.indexOf(one as ReleaseSetCase);
      const waiting = { index, one, ours: ours[at]!, gpgv: found === -1 ? null : says[found]! };
      if (isAccepted) this.#accepted += 1;
      if (isAccepted || new Dice(~this.#seed, index).chance(ASKED_ANYWAY))
        this.#waiting.push(waiting);
      else this.#count({ ...waiting, apt: null });
    }
    if (this.#waiting.length >= BATCH) await this.#ask();
  }

  async flush(): Promise<void> {
    await this.#ask();
    await this.#apt;
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  report(): Omit<Report, 'cases' | 'seconds'> {
    return {
      accepted: this.#accepted,
      asked: this.#asked,
      kinds: this.#kinds,
      findings: this.#findings,
    };
  }

  /** apt judges while the next cases are made. */
  async #ask(): Promise<void> {
    await this.#apt;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#asked += waiting.length;
    this.#apt = this.#askApt(waiting);
  }

  async #askApt(waiting: readonly Waiting[]): Promise<void> {
    const folder = join(this.#folder, 'apt');
    rmSync(folder, { recursive: true, force: true });
    const indices = waiting.filter(({ one }) => one.kind === 'index');
    const [accepted, refused] = [true, false].map((isAccepted) =>
      indices.filter(({ ours }) => (ours === ACCEPTED) === isAccepted),
    );
    await Promise.all([
      this.#askSets(
        join(folder, 'sets'),
        waiting.filter(({ one }) => one.kind === 'release-set'),
      ),
      this.#askIndices(join(folder, 'accepted'), accepted!, isCopied),
      this.#askIndices(join(folder, 'refused'), refused!, (_, asked) => asked !== null),
    ]);
  }

  async #askSets(folder: string, sets: readonly Waiting[]): Promise<void> {
    if (sets.length === 0) return;
    const offered = sets.map(({ one }) => {
      const { set, keyring } = one as ReleaseSetCase;
      return { set, keyring: keyrings[keyring]!, isArmored: false };
    });
    const taken = await aptTakes(folder, offered);
    for (const [at, one] of sets.entries()) this.#count({ ...one, apt: taken.has(at) });
  }

  async #askIndices(
    folder: string,
    all: readonly Waiting[],
    isTaken: (index: Uint8Array, asked: readonly Asked[] | null) => boolean,
  ): Promise<void> {
    if (all.length === 0) return;
    const indices = all.map(({ one }) => (one as IndexCase).index);
    const asked = await aptAsksFor(folder, 'Packages', indices);
    for (const [at, one] of all.entries())
      this.#count({ ...one, apt: isTaken(indices[at]!, asked[at] ?? null) });
  }

  #count(judged: Judged): void {
    const { ours, gpgv, apt, one } = judged;
    const says = (verdict: boolean | null): string =>
      verdict === null ? '-' : verdict ? 'yes' : 'no';
    const kind = `${one.kind}: debgeo ${ours}, gpgv ${says(gpgv)}, apt ${says(apt)}`;
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
    if (ours === ACCEPTED && apt === false) this.#findings.push(judged);
  }
}

/** Writes a case where a person, and `git add`, can see it. */
export function keep(folder: string, name: string, one: Case): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.json`);
  writeFileSync(path, `${JSON.stringify(toStored(one), null, 2)}\n`);
  return path;
}

/** Bytes as Latin-1 text, one line per line of the file. */
export interface Stored {
  readonly kind: Case['kind'];
  readonly changes: readonly string[];
  readonly files: Readonly<Record<string, readonly string[]>>;
  readonly keyring?: number;
}

const toLines = (bytes: Uint8Array): string[] => Buffer.from(bytes).toString('latin1').split('\n');
const fromLines = (lines: readonly string[] | undefined): Buffer | null =>
  lines === undefined ? null : Buffer.from(lines.join('\n'), 'latin1');

function toStored(one: Case): Stored {
  if (one.kind === 'index')
    return { kind: one.kind, changes: one.changes, files: { Packages: toLines(one.index) } };
  const { inRelease, release, releaseGpg } = one.set;
  const files: Record<string, readonly string[]> = {};
  if (inRelease !== null) files['InRelease'] = toLines(inRelease);
  if (release !== null) files['Release'] = toLines(release);
  if (releaseGpg !== null) files['Release.gpg'] = toLines(releaseGpg);
  return { kind: one.kind, changes: one.changes, files, keyring: one.keyring };
}

export function fromStored({ kind, changes, files, keyring = 0 }: Stored): Case {
  if (kind === 'index') return { kind, changes, index: fromLines(files['Packages'])! };
  const set = {
    inRelease: fromLines(files['InRelease']),
    release: fromLines(files['Release']),
    releaseGpg: fromLines(files['Release.gpg']),
  };
  return { kind, changes, set, keyring };
}
