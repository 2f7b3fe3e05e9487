/** One Azurite: an Azure Blob Storage with one account, on 127.0.0.1. */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { DebgeoError } from '../domain/errors.ts';
import type { BlobServer } from '../settings/stack-file.ts';
import { answers, spawnServer, type Server } from './server-process.ts';

const HOST = fileURLToPath(new URL('azurite-host.ts', import.meta.url));

/** Azure's rule for the names of storage accounts: 3 to 24 lower-case letters and digits. */
const ACCOUNT = /^[a-z0-9]{3,24}$/;

/**
 * Spawns the server; its account has the name of the server, and no container yet.
 * @param before the server of the last run, whose key stays valid
 * @throws DebgeoError CONFIG_INVALID: not a name that Azure allows
 */
export function startAzurite(
  folder: string,
  name: string,
  port: number,
  before: BlobServer | undefined,
): { server: Server; blobs: BlobServer } {
  if (!ACCOUNT.test(name))
    throw new DebgeoError('CONFIG_INVALID', 'the name of a blob server is not valid', {
      expected: String(ACCOUNT),
      found: name,
    });
  const blobs: BlobServer = {
    name,
    url: `http://127.0.0.1:${port}/${name}`,
    account: name,
    key: before?.key ?? randomBytes(64).toString('base64'),
    folder: join(folder, `azurite-${name}`),
  };
  mkdirSync(blobs.folder, { recursive: true, mode: 0o700 });
  const server = spawnServer({
    name: `Azurite ${name}`,
    run: { module: HOST },
    args: [
      '--blobHost',
      '127.0.0.1',
      '--blobPort',
      String(port),
      '--location',
      blobs.folder,
      '--silent',
      '--disableTelemetry',
    ],
    log: join(folder, `azurite-${name}.log`),
    environment: { AZURITE_ACCOUNTS: `${blobs.account}:${blobs.key}` },
    cwd: folder,
    stopBy: 'disconnect',
    probe: answers(
      `http://127.0.0.1:${port}/${name}?comp=list`,
      (response) => response.headers.get('server')?.startsWith('Azurite') ?? false,
    ),
  });
  return { server, blobs };
}
