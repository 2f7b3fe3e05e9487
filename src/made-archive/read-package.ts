/** Reads a .deb that somebody uploads, as far as an archive needs it: deb(5), its control file. */
import { uncompress, type Compression } from './compress.ts';
import type { BinaryPackage } from './deb-package.ts';

/** @throws Error the bytes are no .deb that dpkg would take */
export function readBinaryPackage(
  name: string,
  bytes: Uint8Array,
  component: string,
): BinaryPackage {
  const [member, compressed] =
    readAr(Buffer.from(bytes)).find(([one]) => one.startsWith('control.tar')) ?? [];
  const [, compression] = /^control\.tar\.(gz|xz|zst)$/.exec(member ?? '') ?? [];
  if (compressed === undefined || compression === undefined)
    throw new Error(`${name} has no control.tar.gz, .xz or .zst`);
  const control = readStanza(
    readTarFile(uncompress(compressed, compression as Compression), 'control'),
  );
  const fieldOf = (field: string): string => {
    const value = control.get(field);
    if (value === undefined) throw new Error(`${name} has no ${field}`);
    return value;
  };
  return {
    kind: 'binary',
    name: fieldOf('Package'),
    version: fieldOf('Version'),
    architecture: fieldOf('Architecture'),
    component,
    control,
    installs: [],
    file: { name, bytes },
  };
}

/** The members of a common ar archive: 60 bytes of head each, padded to an even length. */
function readAr(bytes: Buffer): [name: string, content: Buffer][] {
  const members: [string, Buffer][] = [];
  for (let at = 8; at + 60 <= bytes.length;) {
    const head = bytes.toString('latin1', at, at + 60);
    const size = Number(head.slice(48, 58));
    members.push([
      head.slice(0, 16).replace(/\/? *$/, ''),
      bytes.subarray(at + 60, at + 60 + size),
    ]);
    at += 60 + size + (size % 2);
  }
  return members;
}

function readTarFile(tar: Buffer, wanted: string): string {
  for (let at = 0; at + 512 <= tar.length;) {
    const name = tar.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 136), 8) || 0;
    if (name.replace(/^\.\//, '') === wanted)
      return tar.toString('utf8', at + 512, at + 512 + size);
    at += 512 * (1 + Math.ceil(size / 512));
  }
  throw new Error(`there is no ${wanted} in the tar`);
}

/** Further lines of a value keep their space, as in the packages that are made here. */
const readStanza = (text: string): Map<string, string> =>
  new Map(
    [...text.matchAll(/^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)$/gm)].map(([, name, value]) => [
      name!,
      value!,
    ]),
  );
