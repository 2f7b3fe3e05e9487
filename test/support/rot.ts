/** A byte rots on disk, below Azurite: size, ETag and MD5 stay as they were. */
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { servers } from './servers.ts';

/** Flips one bit in the middle of every file of this Azurite that holds exactly these bytes, and they must be somewhere. */
export const flipByteInAzurite = async (bytes: Uint8Array, name: string): Promise<void> => {
  const { folder } = (await servers()).blobs.find((blob) => blob.name === name)!;
  let flipped = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.parentPath.includes('__blobstorage__')) continue;
    const path = join(entry.parentPath, entry.name);
    const content = await readFile(path);
    for (let at = content.indexOf(bytes); at !== -1; at = content.indexOf(bytes, at + 1)) {
      await flipAt(path, at + Math.floor(bytes.length / 2));
      flipped += 1;
    }
  }
  if (flipped === 0) throw new Error('the bytes to rot are nowhere in the files of Azurite');
};

const flipAt = async (path: string, position: number): Promise<void> => {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, position);
    byte[0]! ^= 0x01;
    await file.write(byte, 0, 1, position);
  } finally {
    await file.close();
  }
};
