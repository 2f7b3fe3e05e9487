/** A byte rots on disk, below Azurite: size, ETag and MD5 stay as they were. */
import type { ContainerClient } from '@azure/storage-blob';

import { rot } from '../../src/demo/rot-and-repair.ts';
import { servers } from './servers.ts';

/** Rots one blob of a container that this Azurite holds. @returns the bytes that it had */
export async function rotAt(
  container: ContainerClient,
  azurite: string,
  path: string,
): Promise<Buffer> {
  const blob = container.getBlockBlobClient(path);
  const bytes = await blob.downloadToBuffer();
  const { folder } = (await servers()).blobs.find(({ name }) => name === azurite)!;
  await rot(folder, bytes, async () => !(await blob.downloadToBuffer()).equals(bytes));
  return bytes;
}
