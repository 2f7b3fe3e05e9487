/** Makes a blob of an Azurite another one, or none. */
import { randomBytes } from 'node:crypto';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { ContainerClient } from '@azure/storage-blob';

import type { Corruption } from './corruptions.ts';
import { rotAt } from './rot.ts';
import { servers } from './servers.ts';

/** @param azurite `fra` or `sin`, which holds the container @param path with the mount */
export async function corrupt(
  container: ContainerClient,
  azurite: string,
  path: string,
  how: Corruption,
): Promise<void> {
  const blob = container.getBlockBlobClient(path);
  if (how === 'bit flip') return void (await rotAt(container, azurite, path));
  if (how === 'deletion') return void (await blob.delete());
  const bytes = await blob.downloadToBuffer();
  if (how === 'same-length swap') return swapOnDisk(azurite, bytes, () => blob.downloadToBuffer());
  const other = {
    truncation: bytes.subarray(0, bytes.length - 1),
    'zero length': Buffer.alloc(0),
    'older version': Buffer.concat([Buffer.from('older'), bytes]),
  }[how];
  await blob.upload(other, other.length);
}

/** All bytes become others below Azurite: size, ETag and Content-MD5 stay. */
async function swapOnDisk(
  azurite: string,
  bytes: Buffer,
  read: () => Promise<Buffer>,
): Promise<void> {
  const { folder } = (await servers()).blobs.find(({ name }) => name === azurite)!;
  const extents = join(folder, '__blobstorage__');
  for (const name of await readdir(extents)) {
    const content = await readFile(join(extents, name));
    for (let at = content.indexOf(bytes); at >= 0; at = content.indexOf(bytes, at + 1)) {
      await write(join(extents, name), at, randomBytes(bytes.length));
      if (!(await read()).equals(bytes)) return;
      await write(join(extents, name), at, bytes);
    }
  }
  throw new Error(`no file in ${extents} has the bytes`);
}

async function write(file: string, at: number, bytes: Buffer): Promise<void> {
  await using handle = await open(file, 'r+');
  await handle.write(bytes, 0, bytes.length, at);
}
