/** Tar archives (POSIX ustar) that are the same in every run: times and owners are 0. */
export interface TarEntry {
  /** At most 100 bytes; a folder ends in a slash. */
  readonly path: string;
  readonly bytes?: Uint8Array;
}

const BLOCK = 512;

export function makeTar(entries: readonly TarEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { path, bytes = new Uint8Array() } of entries) {
    parts.push(
      makeHeader(path, bytes.length),
      bytes,
      Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK),
    );
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function makeHeader(path: string, size: number): Buffer {
  if (Buffer.byteLength(path) > 100)
    throw new Error(`a name in a ustar has at most 100 bytes: ${path}`);
  const isFolder = path.endsWith('/');
  const header = Buffer.alloc(BLOCK);
  header.write(path, 0);
  header.write(isFolder ? '0000755\0' : '0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(isFolder ? '5' : '0', 156);
  header.write('ustar\x0000', 257);
  header.write('root', 265);
  header.write('root', 297);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}
