/**
 * Makes small, real packages without any Debian tool: binary ones as deb(5) defines them, source
 * ones in format `3.0 (native)`. The same input makes the same bytes.
 */
import { createHash } from 'node:crypto';

import { compress, type Compression } from './compress.ts';
import { makeTar } from './tar.ts';

/** One file below `pool/`; `name` is without its folder. */
export interface PoolFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface BinaryPackage {
  readonly kind: 'binary';
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly component: string;
  /** The fields of DEBIAN/control in order; Packages repeats them. */
  readonly control: ReadonlyMap<string, string>;
  /** Paths that the package installs, without a leading slash; Contents lists them. */
  readonly installs: readonly string[];
  readonly file: PoolFile;
}

export interface SourcePackage {
  readonly kind: 'source';
  readonly name: string;
  readonly version: string;
  readonly component: string;
  readonly control: ReadonlyMap<string, string>;
  /** The .dsc first, then the tar that it names. */
  readonly files: readonly PoolFile[];
}

export type Package = BinaryPackage | SourcePackage;

interface PackageOptions {
  readonly name: string;
  readonly version: string;
  readonly component?: string;
  /** Installed as `/usr/share/<name>/payload`. */
  readonly payload: Uint8Array;
  readonly compression?: Compression;
}

/** A .deb that dpkg accepts: debian-binary, control.tar and data.tar in an ar archive. */
export function makeBinaryPackage(
  options: PackageOptions & { readonly architecture: string; readonly depends?: string },
): BinaryPackage {
  const {
    name,
    version,
    architecture,
    payload,
    component = 'main',
    compression = 'xz',
    depends,
  } = options;
  const installs = [`usr/share/${name}/payload`];
  const control = new Map([
    ['Package', name],
    ['Version', version],
    ['Architecture', architecture],
    ['Maintainer', 'debgeo demo <demo@example.org>'],
    ['Installed-Size', String(Math.ceil(payload.length / 1024))],
    ...(depends === undefined ? [] : [['Depends', depends] as const]),
    ['Section', component === 'main' ? 'misc' : `${component}/misc`],
    ['Priority', 'optional'],
    ['Description', `a package of the debgeo demo, version ${version}\n It installs one file.`],
  ]);
  const md5 = createHash('md5').update(payload).digest('hex');
  const controlTar = makeTar([
    { path: './' },
    { path: './control', bytes: Buffer.from(writeStanza(control)) },
    { path: './md5sums', bytes: Buffer.from(`${md5}  ${installs[0]}\n`) },
  ]);
  const dataTar = makeTar([
    { path: './' },
    { path: './usr/' },
    { path: './usr/share/' },
    { path: `./usr/share/${name}/` },
    { path: `./${installs[0]}`, bytes: payload },
  ]);
  const bytes = makeAr([
    { name: 'debian-binary', bytes: Buffer.from('2.0\n') },
    { name: `control.tar.${compression}`, bytes: compress(controlTar, compression) },
    { name: `data.tar.${compression}`, bytes: compress(dataTar, compression) },
  ]);
  const file = { name: `${name}_${withoutEpoch(version)}_${architecture}.deb`, bytes };
  return { kind: 'binary', name, version, architecture, component, control, installs, file };
}

/** A native source package: one tar and an unsigned .dsc; Sources, and so Release, names both. */
export function makeSourcePackage(options: PackageOptions): SourcePackage {
  const { name, version, payload, component = 'main', compression = 'xz' } = options;
  const stem = `${name}_${withoutEpoch(version)}`;
  const entries = [
    { path: `${name}/` },
    { path: `${name}/debian/` },
    { path: `${name}/debian/source/` },
    { path: `${name}/debian/source/format`, bytes: Buffer.from('3.0 (native)\n') },
    { path: `${name}/payload`, bytes: payload },
  ];
  const tar = {
    name: `${stem}.tar.${compression}`,
    bytes: compress(makeTar(entries), compression),
  };
  const control = new Map([
    ['Format', '3.0 (native)'],
    ['Source', name],
    ['Binary', name],
    ['Architecture', 'any'],
    ['Version', version],
    ['Maintainer', 'debgeo demo <demo@example.org>'],
    ['Standards-Version', '4.6.2'],
  ]);
  const dsc = {
    name: `${stem}.dsc`,
    bytes: Buffer.from(writeStanza(new Map([...control, ...listFiles([tar])]))),
  };
  return { kind: 'source', name, version, component, control, files: [dsc, tar] };
}

/** The fields `Files` and `Checksums-Sha256` of a .dsc and of Sources, one line per file. */
export function listFiles(files: readonly PoolFile[]): Map<string, string> {
  const lines = (algorithm: string) =>
    files
      .map(({ name, bytes }) => {
        const digest = createHash(algorithm).update(bytes).digest('hex');
        return `\n ${digest} ${bytes.length} ${name}`;
      })
      .join('');
  return new Map([
    ['Files', lines('md5')],
    ['Checksums-Sha256', lines('sha256')],
  ]);
}

/** One deb822 stanza with its last newline. Further lines of a value begin with their space. */
export const writeStanza = (fields: ReadonlyMap<string, string>): string =>
  [...fields]
    .map(([field, value]) =>
      value.startsWith('\n') ? `${field}:${value}\n` : `${field}: ${value}\n`,
    )
    .join('');

/** File names leave out the epoch (Debian Policy 5.6.12). */
const withoutEpoch = (version: string): string => version.replace(/^\d+:/, '');

/** The common ar format; in deb(5) member names have at most 15 characters and no slash. */
function makeAr(members: readonly PoolFile[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from('!<arch>\n')];
  for (const { name, bytes } of members) {
    const header = [
      name.padEnd(16),
      '0'.padEnd(12),
      '0'.padEnd(6),
      '0'.padEnd(6),
      '100644'.padEnd(8),
      String(bytes.length).padEnd(10),
    ];
    parts.push(Buffer.from(`${header.join('')}\`\n`), bytes, Buffer.alloc(bytes.length % 2, '\n'));
  }
  return Buffer.concat(parts);
}
