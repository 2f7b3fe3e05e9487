/**
 * The one type of every path that leaves this program (I7): relative to an archive's root, or to a
 * site's prefix when a mount stands before it. Paths come from Release, Packages and Sources files:
 * the archive chooses them, signed or not.
 *
 * All refusals are HOSTILE_PATH. What is refused, and why:
 * - empty, absolute, `..`, empty segments, backslash: they leave the folder, or are other names on
 *   some server (`\` is `/` to Azure's .NET stack);
 * - a segment that ends in `.`, and a trailing `/`: Azure, "Naming and Referencing Containers,
 *   Blobs, and Metadata": they are dropped on the way;
 * - controls and DEL, C1 controls, text that is not UTF-8 (U+FFFD, lone surrogates): what we ask
 *   for and what is stored would differ;
 * - `?` and `#`: they end the path of a URL (RFC 3986 §3);
 * - `%2f`, `%5c`, `%2e` and encoded controls, as they stand or after one decode: servers and
 *   proxies decode at different times. Any other `%` is a letter of the name: `%3a` stands
 *   literally in pool names (apt asks for `%253a`). `./` in front and `/./` inside are normalised
 *   away: blob stores know no `.`. Names that apt asks for are refused with it before
 *   (index-file.ts).
 */
import { DebgeoError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { quoted } from './text.ts';

export type RepoPath = string & { readonly __repoPath: never };

/**
 * The names of the Release set in the suite folder (Debian wiki, DebianRepository/Format, "Release"
 * files).
 */
export const RELEASE_SET_NAMES = ['InRelease', 'Release', 'Release.gpg'] as const;

// oxlint-disable-next-line no-control-regex -- controls are what is looked for
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\\?#\ufffd]/;
/** `%25` may stand between: after one decode it is the same thing. */
const ENCODED_SEPARATOR = /%(?:25)?(?:2f|2e|5c|[01][0-9a-f]|7f)/i;

/**
 * A path without any of these is as it should be, like nearly all of Debian: ASCII, no segment that
 * is empty or ends in a dot, nothing encoded.
 */
const DOUBTFUL = /[^ -~]|[\\?#%]|[./]\/|^\/|[./]$/;
/** Too short for more segments than there may be. */
const SHORT = 2 * LIMITS.pathSegments;

/** @throws HOSTILE_PATH */
export function parseRepoPath(text: string): RepoPath {
  if (text !== '' && text.length <= SHORT && !DOUBTFUL.test(text)) return text as RepoPath;
  if (text === '') throw hostile(text, 'a name');
  if (text.length > LIMITS.pathBytes || Buffer.byteLength(text) > LIMITS.pathBytes)
    throw hostile(text, `at most ${LIMITS.pathBytes} bytes`);
  if (FORBIDDEN.test(text)) throw hostile(text, 'printable UTF-8 without backslash, ? and #');
  if (!text.isWellFormed()) throw hostile(text, 'UTF-8');
  if (text.includes('%') && ENCODED_SEPARATOR.test(text))
    throw hostile(text, 'no encoded separator, dot or control');
  if (text.startsWith('/')) throw hostile(text, 'a relative path');

  const written = text.split('/');
  if (written.at(-1) === '.') throw hostile(text, 'the name of a file');
  const segments = written.filter((segment) => segment !== '.');
  for (const segment of segments) {
    if (segment === '') throw hostile(text, 'no empty segment');
    if (segment.endsWith('.')) throw hostile(text, 'no segment that ends in a dot');
  }
  if (segments.length > LIMITS.pathSegments)
    throw hostile(text, `at most ${LIMITS.pathSegments} segments`);
  return segments.join('/') as RepoPath;
}

/**
 * @param folder `dists/bookworm`; '' or '.' for the root
 * @throws HOSTILE_PATH  the whole is validated, so the result lies inside the folder
 */
export function joinPath(folder: string, path: string): RepoPath {
  return parseRepoPath(folder === '' || folder === '.' ? path : `${folder}/${path}`);
}

/** What by-hash names look like: to JavaScript and to PostgreSQL, which read this alike. */
export const BY_HASH_PATTERN = '(^|/)by-hash/[^/]+/[^/]+$';
const BY_HASH = new RegExp(BY_HASH_PATTERN);

export const isByHash = (path: RepoPath): boolean => BY_HASH.test(path);

/** InRelease, Release and Release.gpg of a suite, in this order. */
export const releaseSetPaths = (suiteFolder: string): readonly [RepoPath, RepoPath, RepoPath] => {
  const [inRelease, release, releaseGpg] = RELEASE_SET_NAMES;
  return [
    joinPath(suiteFolder, inRelease),
    joinPath(suiteFolder, release),
    joinPath(suiteFolder, releaseGpg),
  ];
};

/**
 * The same for all paths that a file system which ignores case and Unicode normalisation (NTFS,
 * APFS; Azure Files and backups on them) takes for one. Blob storage and apt tell them apart, so
 * this is never a name to ask for. Nearly all paths of Debian are their own.
 */
export function foldPath(path: string): string {
  return /[^\x21-@[-~]/.test(path) ? path.normalize('NFC').toLowerCase().normalize('NFC') : path;
}

/**
 * A pool file as `Filename`, or `Directory` and name, give it. Names of files whose bytes change
 * from release to release are refused, for a pool file is written once: anything in `dists/` and in
 * `.debgeo/` (reserved), and in flat archives, where pool files and indices share a folder, the
 * Release set, Packages and Sources in any compression, and by-hash folders.
 * @throws HOSTILE_PATH
 */
export function poolPath(filename: string): RepoPath {
  const path = parseRepoPath(filename);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (/^(?:dists|\.debgeo)(?:\/|$)|(?:^|\/)by-hash(?:\/|$)/.test(foldPath(path)))
    throw hostile(filename, 'a path outside dists/, .debgeo/ and by-hash/');
  if (
    RELEASE_SET_NAMES.some((reserved) => reserved === name) ||
    /^(?:Packages|Sources)(?:\.[a-z0-9]+)?$/.test(name)
  )
    throw hostile(filename, 'not the name of a Release set or an index');
  return path;
}

/**
 * @param mount folder of the archive on every site, `debian`
 * @throws HOSTILE_PATH  the mount is no path, or longer than LIMITS.mountBytes
 */
export function sitePath(mount: string, path: RepoPath): RepoPath {
  if (Buffer.byteLength(mount) > LIMITS.mountBytes)
    throw hostile(mount, `a mount of at most ${LIMITS.mountBytes} bytes`);
  return `${parseRepoPath(mount)}/${path}` as RepoPath;
}

/**
 * The path as apt requests it: `+`, `~`, `%`, space, controls and non-ASCII as lower-case %xx of
 * the UTF-8 bytes (apt: QuoteString of apt-pkg/contrib/strutl.cc with Acquire::URIEncode "+~ ").
 */
export function aptQuote(path: RepoPath): string {
  return path.replace(/[^\x21-\x7e]|[+~%]/gu, (character) => {
    return [...Buffer.from(character)]
      .map((byte) => `%${byte.toString(16).padStart(2, '0')}`)
      .join('');
  });
}

/** Two files at paths that fold to one. */
export const ambiguous = (path: string, twin: string): DebgeoError =>
  new DebgeoError(
    'PATH_AMBIGUOUS',
    'two paths differ in case or Unicode normalisation only, and name different files',
    {
      expected: `only "${quoted(twin)}"`,
      found: `"${quoted(path)}"`,
    },
  );

function hostile(path: string, expected: string): DebgeoError {
  const found = `"${quoted(path)}"`;
  return new DebgeoError('HOSTILE_PATH', `the path ${found} is refused`, { expected, found });
}
