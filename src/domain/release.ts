/**
 * Release, the list of everything else (Debian wiki, DebianRepository/Format, "Release" files).
 * Parsed only from a body whose signature was checked.
 */
import { parseStanza, type Stanza } from './deb822.ts';
import { DebgeoError } from './errors.ts';
import { HASHES, HEX_DIGITS, type HashName, type Hashes } from './hashes.ts';
import { LIMITS } from './limits.ts';
import {
  ambiguous,
  foldPath,
  joinPath,
  parseRepoPath,
  RELEASE_SET_NAMES,
  type RepoPath,
} from './repo-path.ts';
import { quoted } from './text.ts';

export interface ReleaseEntry {
  /**
   * Relative to the suite folder. Listed is not existing: uncompressed variants are often listed
   * and absent (dak).
   */
  readonly path: string;
  /** bytes */
  readonly size: number;
  readonly hashes: Hashes;
}

export interface Release {
  readonly date: Date | null;
  readonly validUntil: Date | null;
  readonly suite: string | null;
  readonly codename: string | null;
  readonly components: readonly string[];
  readonly architectures: readonly string[];
  readonly acquireByHash: boolean;
  readonly entries: ReadonlyMap<string, ReleaseEntry>;
}

/**
 * Reads the body of a Release set. The hash tables are united per path; an entry needs SHA256 or
 * SHA512 (apt calls the others weak and refuses them). Entries for the Release set itself are
 * dropped: some tools list the file that they are about to write, and apt never asks for them as an
 * index.
 *
 * @param body what the signature covers
 * @throws RELEASE_MALFORMED not a Release, a date that is not RFC 1123 in UTC, an entry with weak
 *   hashes only
 * @throws INDEX_CONTRADICTION one path with two digests or two sizes
 * @throws LIMIT_EXCEEDED more entries than LIMITS.releaseEntries, or an index larger than
 *   LIMITS.indexBytes
 * @throws PATH_AMBIGUOUS two entries that some file systems take for one, with different bytes
 * @throws HOSTILE_PATH an entry that leaves the suite folder, or lies where only debgeo writes or
 *   another suite does
 */
export function parseRelease(body: Uint8Array): Release {
  const stanza = readStanza(body);
  return {
    date: readDate(stanza, 'date'),
    validUntil: readDate(stanza, 'valid-until'),
    suite: stanza.get('suite') || null,
    codename: stanza.get('codename') || null,
    components: words(stanza.get('components')),
    architectures: words(stanza.get('architectures')),
    acquireByHash: readFlag(stanza, 'acquire-by-hash'),
    entries: readEntries(stanza),
  };
}

/**
 * `bookworm` → `dists/bookworm`; with a slash at the end the suite is the folder of a flat archive
 * (sources.list(5)): `sub/` → `sub`, `./` and `/` → `.`.
 * @throws HOSTILE_PATH
 */
export function suiteFolder(suite: string): string {
  if (!suite.endsWith('/')) return joinPath('dists', suite);
  const folder = suite.slice(0, -1);
  return folder === '' || folder === '.' ? '.' : parseRepoPath(folder);
}

function readStanza(body: Uint8Array): Stanza {
  try {
    return parseStanza(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch (error) {
    if (error instanceof DebgeoError && error.code === 'LIMIT_EXCEEDED') throw error;
    const facts =
      error instanceof DebgeoError
        ? { expected: error.report.expected ?? '', found: error.report.found ?? '' }
        : { expected: 'UTF-8', found: 'other bytes' };
    throw new DebgeoError(
      'RELEASE_MALFORMED',
      'the Release is not one stanza of control data',
      facts,
      error,
    );
  }
}

/** What apt takes for no; anything else is yes (pkgTagSection::FindB, StringToBool). */
const NO = /^(?:[+-]?(?:0x)?0+|no|false|without|off|disable|)$/i;

function readFlag(stanza: Stanza, field: string): boolean {
  const text = stanza.get(field);
  if (text?.includes('\n')) throw malformed(`${field} in one line`, text);
  return text !== undefined && !NO.test(text);
}

interface Listed {
  readonly path: RepoPath;
  readonly size: number;
  readonly hashes: Partial<Record<HashName, string>>;
}

function readEntries(stanza: Stanza): ReadonlyMap<string, ReleaseEntry> {
  /** By the name as it is written. */
  const entries = new Map<string, Listed>();
  for (const name of HASHES) {
    for (const line of (stanza.get(name.toLowerCase()) ?? '').split('\n')) {
      if (line === '') continue;
      const listed = readLine(name, line);
      if (isOfReleaseSet(listed.path)) continue;
      let entry = entries.get(listed.written);
      if (entry === undefined) {
        if (entries.size >= LIMITS.releaseEntries)
          throw tooMany('entries in Release', LIMITS.releaseEntries);
        const { path, size } = listed;
        entries.set(listed.written, (entry = { path, size, hashes: {} }));
      }
      refuseContradiction(entry, { ...listed, hashes: { [name]: listed.digest } });
      entry.hashes[name] = listed.digest;
    }
  }
  dropDotted(entries);
  if (entries.size === 0) throw malformed('entries under SHA256 or SHA512', 'none');
  for (const entry of entries.values()) {
    if (entry.hashes.SHA256 === undefined && entry.hashes.SHA512 === undefined) {
      throw malformed(`SHA256 or SHA512 of ${entry.path}`, Object.keys(entry.hashes).join(' '));
    }
  }
  refuseTwins(entries.values());
  return entries;
}

/** apt asks for `main/…`, and finds no `./main/…` (debReleaseIndex::parseSumData). */
function dropDotted(entries: Map<string, Listed>): void {
  for (const [written, entry] of entries) {
    if (written === entry.path) continue;
    entries.delete(written);
    refuseContradiction(entries.get(entry.path) ?? entry, entry);
  }
}

function refuseContradiction(known: Listed, listed: Listed): void {
  if (known.size !== listed.size)
    throw contradiction(listed.path, `${known.size} bytes`, `${listed.size} bytes`);
  for (const name of HASHES) {
    const [one, other] = [known.hashes[name], listed.hashes[name]];
    if (one !== undefined && other !== undefined && one !== other)
      throw contradiction(listed.path, one, other);
  }
}

function refuseTwins(entries: Iterable<ReleaseEntry>): void {
  const byFold = new Map<string, ReleaseEntry>();
  for (const entry of entries) {
    const fold = foldPath(entry.path);
    const twin = byFold.get(fold);
    const isSame =
      twin === undefined || HASHES.every((name) => twin.hashes[name] === entry.hashes[name]);
    if (!isSame) throw ambiguous(entry.path, twin.path);
    byFold.set(fold, entry);
  }
}

/**
 * ` <hex> <size> <path>`; blanks between, none in the path. apt compares digests as they are
 * written: one in capitals is that of no file (HashString::operator==).
 */
function readLine(
  name: HashName,
  line: string,
): { digest: string; size: number; path: RepoPath; written: string } {
  const match = /^([0-9a-f]+)[ \t]+(\d{1,15})[ \t]+([^ \t]+)$/.exec(line);
  const [, digest, size, written] = match ?? [];
  if (
    digest === undefined ||
    size === undefined ||
    written === undefined ||
    digest.length !== HEX_DIGITS[name]
  ) {
    throw malformed(
      `<${HEX_DIGITS[name]} hex digits in lower case> <size> <path> under ${name}`,
      line,
    );
  }
  if (Number(size) > LIMITS.indexBytes) throw tooMany(`bytes of ${written}`, LIMITS.indexBytes);
  return { digest, size: Number(size), path: entryPath(written), written };
}

/**
 * Refuses by-hash names, which are written once where names of indices are written again and again,
 * and what belongs to another suite: `dists/`, and an InRelease in a deeper folder
 * (`stretch/updates`).
 */
function entryPath(text: string): RepoPath {
  const path = parseRepoPath(text);
  const segments = path.split('/');
  const name = segments.at(-1);
  const ofDeeperSuite = segments.length > 1 && (name === 'InRelease' || name === 'Release.gpg');
  if (
    ofDeeperSuite ||
    segments[0] === 'dists' ||
    segments[0] === '.debgeo' ||
    segments.includes('by-hash')
  ) {
    throw new DebgeoError('HOSTILE_PATH', 'Release lists a path that is not its own', {
      expected: 'an index of this suite',
      found: path,
    });
  }
  return path;
}

function isOfReleaseSet(path: string): boolean {
  return RELEASE_SET_NAMES.some((name) => name === path);
}

/** Name of the day, day, month, year, time, zone. */
const DATE = new RegExp(
  [
    /^(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat), +/,
    /(\d{1,2}) +([A-Z][a-z]{2}) +(\d{4}) +/,
    /(\d{1,2}):(\d{2}):(\d{2}) +/,
    /(?:UTC|GMT|Z|\+0000)$/,
  ]
    .map(({ source }) => source)
    .join(''),
);
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/**
 * RFC 1123 (`Sat, 10 Feb 2024 11:07:25 UTC`), the day of the week and the zone as apt's
 * RFC1123StrToTime accepts them: any day; UTC, GMT, Z, +0000.
 */
function readDate(stanza: Stanza, field: 'date' | 'valid-until'): Date | null {
  const text = stanza.get(field);
  if (text === undefined) return null;
  const match = DATE.exec(text);
  if (match === null) throw malformed(`${field} as RFC 1123 date in UTC`, text);
  const [day, year, hour, minute, second] = [1, 3, 4, 5, 6].map((group) =>
    Number(match[group]),
  ) as [number, number, number, number, number];
  const month = MONTHS.indexOf(match[2] ?? '');

  const date = new Date(Date.UTC(year, month, day, hour, minute, second));
  const asWritten =
    month >= 0 &&
    date.getUTCFullYear() === year &&
    date.getUTCDate() === day &&
    date.getUTCMonth() === month &&
    hour < 24 &&
    minute < 60 &&
    second < 60;
  if (!asWritten) throw malformed(`${field} as a date that exists`, text);
  return date;
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(/\s+/).filter((word) => word !== '');
}

function malformed(expected: string, found: string): DebgeoError {
  return new DebgeoError('RELEASE_MALFORMED', 'the Release is not as Debian defines it', {
    expected,
    found: quoted(found),
  });
}

function contradiction(path: string, expected: string, found: string): DebgeoError {
  return new DebgeoError('INDEX_CONTRADICTION', `Release lists ${path} twice, differently`, {
    expected,
    found,
  });
}

function tooMany(what: string, limit: number): DebgeoError {
  return new DebgeoError('LIMIT_EXCEEDED', `too many ${what}`, {
    expected: `at most ${limit}`,
    found: 'more',
  });
}
