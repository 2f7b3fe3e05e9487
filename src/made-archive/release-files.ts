/**
 * The bytes of one release of a suite: its indices and the text of Release, as Debian's own archive
 * (dak) writes them. Pure.
 */
import { createHash } from 'node:crypto';

import { compress, type Compression } from './compress.ts';
import {
  listFiles,
  writeStanza,
  type BinaryPackage,
  type Package,
  type SourcePackage,
} from './deb-package.ts';

export type HashName = 'MD5Sum' | 'SHA1' | 'SHA256' | 'SHA512';

/** A file that Release lists; its path is relative to the folder of the suite. */
export interface Index {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Listed, and not at the archive: as most uncompressed variants of Debian. */
  readonly absent: boolean;
}

interface SuiteShape {
  readonly components: readonly string[];
  readonly architectures: readonly string[];
  readonly compressions: readonly Compression[];
}

const HASHES: Readonly<Record<HashName, string>> = {
  MD5Sum: 'md5',
  SHA1: 'sha1',
  SHA256: 'sha256',
  SHA512: 'sha512',
};

export const hashOf = (name: HashName, bytes: Uint8Array): string =>
  createHash(HASHES[name]).update(bytes).digest('hex');

/** `pool/main/h/hello/hello_1.0_amd64.deb`; after `lib` the folder has a fourth letter. */
export function poolPathOf(entry: Package, fileName: string): string {
  const initial = entry.name.startsWith('lib') ? entry.name.slice(0, 4) : entry.name.slice(0, 1);
  return `pool/${entry.component}/${initial}/${entry.name}/${fileName}`;
}

export function makeIndices(
  packages: readonly Package[],
  suite: string,
  shape: SuiteShape,
): Index[] {
  const indices: Index[] = [];
  const addCompressed = (path: string, text: string, compressions: readonly Compression[]) => {
    indices.push({ path, bytes: Buffer.from(text), absent: true });
    for (const compression of compressions) {
      indices.push({
        path: `${path}.${compression}`,
        bytes: compress(Buffer.from(text), compression),
        absent: false,
      });
    }
  };
  for (const component of shape.components) {
    const inComponent = packages.filter((entry) => entry.component === component);
    const binaries = inComponent.filter((entry) => entry.kind === 'binary');
    for (const architecture of shape.architectures) {
      const matching = binaries.filter(
        (entry) => entry.architecture === architecture || entry.architecture === 'all',
      );
      const folder = `${component}/binary-${architecture}`;
      addCompressed(
        `${folder}/Packages`,
        matching.map(packagesStanza).join('\n'),
        shape.compressions,
      );
      addLegacyRelease(folder, component, architecture);
      addCompressed(`${component}/Contents-${architecture}`, contentsText(matching), ['gz']);
    }
    const sources = inComponent.filter((entry) => entry.kind === 'source');
    addCompressed(
      `${component}/source/Sources`,
      sources.map(sourcesStanza).join('\n'),
      shape.compressions,
    );
    addLegacyRelease(`${component}/source`, component, 'source');
    addCompressed(
      `${component}/i18n/Translation-en`,
      translationText(binaries),
      shape.compressions,
    );
  }
  return indices;

  /** The small Release beside an index, which debootstrap once read; listed and uncompressed. */
  function addLegacyRelease(folder: string, component: string, architecture: string): void {
    const fields = {
      Archive: suite,
      Origin: 'debgeo',
      Label: 'debgeo',
      Component: component,
      Architecture: architecture,
    };
    indices.push({
      path: `${folder}/Release`,
      bytes: Buffer.from(writeStanza(new Map(Object.entries(fields)))),
      absent: false,
    });
  }
}

export function makeReleaseText(
  suite: string,
  shape: SuiteShape,
  indices: readonly Index[],
  options: {
    readonly hashes: readonly HashName[];
    readonly acquireByHash: boolean;
    readonly date: Date;
    readonly validUntil: Date | null;
  },
): string {
  const fields = new Map([
    ['Origin', 'debgeo'],
    ['Label', 'debgeo'],
    ['Suite', suite],
    ['Codename', suite],
    ['Date', writeDate(options.date)],
    ...(options.validUntil === null
      ? []
      : [['Valid-Until', writeDate(options.validUntil)] as const]),
    ...(options.acquireByHash ? [['Acquire-By-Hash', 'yes'] as const] : []),
    ['Architectures', shape.architectures.join(' ')],
    ['Components', shape.components.join(' ')],
    ['Description', 'the distribution of the debgeo demo'],
  ]);
  for (const hash of options.hashes) {
    const lines = indices.map(
      ({ path, bytes }) => `\n ${hashOf(hash, bytes)} ${String(bytes.length).padStart(8)} ${path}`,
    );
    fields.set(hash, lines.join(''));
  }
  return writeStanza(fields);
}

/** RFC 1123 with `UTC` in place of `GMT`, as Debian writes it. */
const writeDate = (date: Date): string => date.toUTCString().replace('GMT', 'UTC');

function packagesStanza(entry: BinaryPackage): string {
  const { bytes, name } = entry.file;
  const description = entry.control.get('Description') ?? '';
  const fields = new Map(entry.control);
  fields.set('Description', description.split('\n', 1)[0] ?? '');
  fields.set('Description-md5', descriptionMd5(description));
  fields.set('Filename', poolPathOf(entry, name));
  fields.set('Size', String(bytes.length));
  fields.set('MD5sum', hashOf('MD5Sum', bytes));
  fields.set('SHA256', hashOf('SHA256', bytes));
  return writeStanza(fields);
}

/** Sources has `Package` where the .dsc has `Source`, and lists the .dsc too. */
function sourcesStanza(entry: SourcePackage): string {
  const [dsc] = entry.files;
  if (dsc === undefined) throw new Error(`${entry.name} has no files`);
  const fields = new Map([['Package', entry.name], ...entry.control]);
  fields.delete('Source');
  fields.set('Directory', poolPathOf(entry, dsc.name).replace(/\/[^/]+$/, ''));
  for (const [field, value] of listFiles(entry.files)) fields.set(field, value);
  return writeStanza(fields);
}

const contentsText = (binaries: readonly BinaryPackage[]): string =>
  binaries
    .flatMap((entry) => entry.installs.map((path) => `${path.padEnd(60)} misc/${entry.name}\n`))
    .join('');

const translationText = (binaries: readonly BinaryPackage[]): string =>
  binaries
    .map((entry) => {
      const description = entry.control.get('Description') ?? '';
      return writeStanza(
        new Map([
          ['Package', entry.name],
          ['Description-md5', descriptionMd5(description)],
          ['Description-en', description],
        ]),
      );
    })
    .join('\n');

/** Of the whole description with a last newline; it ties Packages to Translation-en. */
const descriptionMd5 = (description: string): string =>
  hashOf('MD5Sum', Buffer.from(`${description}\n`));
