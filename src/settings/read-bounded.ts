import { closeSync, openSync, readSync } from 'node:fs';

/**
 * No more of a file than one byte beyond `max`, by which it is refused as too long: it may be a
 * device, or a file of another kind.
 * @throws what the file system says
 */
export function readBounded(path: string, max: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(max + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(file, bytes, length, bytes.length - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}
