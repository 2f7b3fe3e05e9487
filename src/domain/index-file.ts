/**
 * The two kinds of index that name pool files, Packages and Sources (Debian wiki,
 * DebianRepository/Format, "Packages" and "Sources" indices), as streams; all other indices are
 * leaves. Identity in the catalog is SHA-256: a stanza with only SHA512, or only MD5, is
 * INDEX_MALFORMED.
 */
import type { Blob } from './blob.ts';
import { Deb822Parser, type Stanza } from './deb822.ts';
import { DebgeoError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { joinPath, poolPath } from './repo-path.ts';
import { isSha256, type Sha256 } from './sha256.ts';
import { quoted } from './text.ts';

export type Compression = 'none' | 'gz' | 'xz' | 'zst';

/**
 * Extensions that apt knows (apt.conf(5), Acquire::CompressionTypes); those of `unsupported` are
 * mirrored, but not read.
 */
const COMPRESSIONS: ReadonlyMap<string, Compression | 'unsupported'> = new Map([
  ['gz', 'gz'],
  ['xz', 'xz'],
  ['zst', 'zst'],
  ['bz2', 'unsupported'],
  ['lzma', 'unsupported'],
  ['lz4', 'unsupported'],
  ['Z', 'unsupported'],
]);

export function compressionOf(path: string): Compression | 'unsupported' {
  return COMPRESSIONS.get(extensionOf(path)) ?? 'none';
}

/**
 * Without the extension of a compression: `main/binary-amd64/Packages.gz` →
 * `main/binary-amd64/Packages`. All variants of an index share it.
 */
export function stemOf(path: string): string {
  const extension = extensionOf(path);
  return COMPRESSIONS.has(extension) ? path.slice(0, -extension.length - 1) : path;
}

/** By file name, in any compression; udebs (`debian-installer/binary-amd64/Packages`) too. */
export function isPackages(path: string): boolean {
  return nameOf(stemOf(path)) === 'Packages';
}

export function isSources(path: string): boolean {
  return nameOf(stemOf(path)) === 'Sources';
}

/**
 * Reads a decompressed Packages: one blob per stanza, from Filename, Size and SHA256.
 * @see SourcesReader for the errors
 */
export class PackagesReader {
  readonly #parser: Deb822Parser;

  /**
   * @param folderPrefix what Filename is relative to, seen from the root of the archive: '' for all
   *   archives that apt knows, flat ones too (apt joins Filename to the URI of sources.list, not to
   *   the folder of Packages)
   */
  constructor(folderPrefix: string, onBlob: (blob: Blob) => void) {
    this.#parser = new Deb822Parser(['Package', 'Filename', 'Size', 'SHA256'], (stanza) => {
      // apt refuses all of its lists for one package without a name
      required(stanza, 'Package');
      const filename = required(stanza, 'Filename');
      const path = poolPath(joinPath(folderPrefix, filename));
      refuseDots(filename);
      onBlob({
        path,
        size: readSize(required(stanza, 'Size'), path),
        sha256: readSha256(required(stanza, 'SHA256'), path),
      });
    });
  }

  push(chunk: Uint8Array): void {
    this.#parser.push(chunk);
  }

  end(): void {
    this.#parser.end();
  }
}

/** Tables of Sources, with the hex digits of their digests (Debian Policy §5.6.21 and §5.6.24). */
const TABLES = [
  ['Checksums-Sha256', 64],
  ['Files', 32],
  ['Checksums-Sha1', 40],
  ['Checksums-Sha512', 128],
] as const;

/**
 * Reads a decompressed Sources: one blob per file of each stanza, the union of Files and
 * Checksums-*, below Directory (empty and missing are the root).
 *
 * @throws INDEX_MALFORMED a file without size or SHA-256, or lines that are no control data
 * @throws INDEX_CONTRADICTION a file with two digests or two sizes within a stanza
 * @throws HOSTILE_PATH
 * @throws PATH_UNREADABLE a name with a segment `.`
 * @throws LIMIT_EXCEEDED a file beyond LIMITS.blobBytes, a line or a stanza beyond theirs
 */
export class SourcesReader {
  readonly #parser: Deb822Parser;

  /** @param folderPrefix as of PackagesReader */
  constructor(folderPrefix: string, onBlob: (blob: Blob) => void) {
    const fields = ['Package', 'Directory', ...TABLES.map(([field]) => field)];
    this.#parser = new Deb822Parser(fields, (stanza) => {
      const directory = stanza.get('directory') ?? '';
      refuseDots(directory);
      const folder = joinFolders(folderPrefix, directory);
      for (const [name, file] of readFiles(stanza)) {
        const path = poolPath(joinPath(folder, name));
        refuseDots(name);
        if (file.sha256 === null) throw malformed(stanza, `Checksums-Sha256 of ${path}`, 'none');
        onBlob({ path, size: file.size, sha256: file.sha256 });
      }
    });
  }

  push(chunk: Uint8Array): void {
    this.#parser.push(chunk);
  }

  end(): void {
    this.#parser.end();
  }
}

function readFiles(stanza: Stanza): ReadonlyMap<string, { size: number; sha256: Sha256 | null }> {
  const files = new Map<string, { size: number; sha256: Sha256 | null }>();
  for (const [field, digits] of TABLES) {
    const digests = new Map<string, string>();
    for (const line of (stanza.get(field.toLowerCase()) ?? '').split('\n')) {
      if (line === '') continue;
      const [, hex, sizeText, name] = /^([0-9a-f]+)[ \t]+(\d+)[ \t]+([^ \t]+)$/.exec(line) ?? [];
      if (
        hex === undefined ||
        sizeText === undefined ||
        name === undefined ||
        hex.length !== digits
      ) {
        throw malformed(
          stanza,
          `<${digits} hex digits in lower case> <size> <name> under ${field}`,
          line,
        );
      }
      const size = readSize(sizeText, name);
      const listed = digests.get(name);
      if (listed !== undefined && listed !== hex) throw contradiction(name, listed, hex);
      digests.set(name, hex);
      const known = files.get(name);
      if (known !== undefined && known.size !== size)
        throw contradiction(name, `${known.size} bytes`, `${size} bytes`);
      if (known === undefined) files.set(name, { size, sha256: isSha256(hex) ? hex : null });
    }
  }
  if (files.size === 0) throw malformed(stanza, 'Files or Checksums-Sha256', 'none');
  return files;
}

/**
 * apt asks for a name as the index writes it, `Filename: ./b.deb` as `/./b.deb`
 * (apt-pkg/deb/debmetaindex.cc joins it to the URI as it is). A web server finds a file there, blob
 * storage has no such name: a copy would be whole, and of no use to apt.
 */
function refuseDots(name: string): void {
  if (!/(?:^|\/)\.(?:\/|$)/.test(name)) return;
  const found = `"${quoted(name)}"`;
  throw new DebgeoError('PATH_UNREADABLE', `apt could not read ${found} from a site`, {
    expected: 'a path without ./',
    found,
  });
}

function joinFolders(prefix: string, directory: string): string {
  if (directory === '') return prefix;
  return joinPath(prefix, directory.endsWith('/') ? directory.slice(0, -1) : directory);
}

/** In one line: of a folded one apt takes the line ends away only where nothing stands before. */
function required(stanza: Stanza, field: string): string {
  const value = stanza.get(field.toLowerCase());
  if (value === undefined || value.trim() === '') throw malformed(stanza, field, 'none');
  if (value.includes('\n')) throw malformed(stanza, `${field} in one line`, value);
  return value;
}

function readSize(text: string, of: string): number {
  if (!/^\d{1,15}$/.test(text)) throw notDebian(`a size in bytes of ${of}`, text);
  const size = Number(text);
  if (size > LIMITS.blobBytes) {
    throw new DebgeoError('LIMIT_EXCEEDED', `${of} is too large`, {
      expected: `at most ${LIMITS.blobBytes} bytes`,
      found: `${size} bytes`,
    });
  }
  return size;
}

/** apt compares digests as they are written: one in capitals is that of no file. */
function readSha256(text: string, of: string): Sha256 {
  if (!isSha256(text)) throw notDebian(`64 hex digits in lower case, SHA-256 of ${of}`, text);
  return text;
}

function malformed(stanza: Stanza, expected: string, found: string): DebgeoError {
  const name = stanza.get('package') ?? stanza.get('filename') ?? 'an unnamed package';
  return notDebian(`${expected} in the stanza of ${name}`, found);
}

function notDebian(expected: string, found: string): DebgeoError {
  return new DebgeoError('INDEX_MALFORMED', 'an index is not as Debian defines it', {
    expected,
    found: quoted(found),
  });
}

function contradiction(path: string, expected: string, found: string): DebgeoError {
  return new DebgeoError('INDEX_CONTRADICTION', `${path} is named twice, differently`, {
    expected,
    found,
  });
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function extensionOf(path: string): string {
  const name = nameOf(path);
  const dot = name.lastIndexOf('.');
  return dot === -1 ? '' : name.slice(dot + 1);
}
