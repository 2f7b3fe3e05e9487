/**
 * A file that is nowhere ends a publication, so only an answer says so: never that an origin could
 * not be asked.
 */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { after, before } from 'node:test';

import type { BlobOrigin } from '../../activities/blob-source.ts';
import { copyBlob } from '../../activities/copy-blob.ts';
import { createHttpArchive } from '../../src/archive/http-archive.ts';
import type { WantedBlob } from '../../src/database/registry/claims.ts';
import { DebgeoError, type ErrorCode } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import type { Sha256 } from '../../src/domain/sha256.ts';
import type { SiteStore } from '../../src/site/site-store.ts';

const never = new AbortController().signal;
const path = parseRepoPath('pool/main/h/hello/hello_1_amd64.deb');
const blob: WantedBlob = {
  ...{ pathId: 1, blobId: 1, distributionId: 1, siteId: 1, generation: 1 },
  ...{ path, size: 5, sha256: 'a'.repeat(64) as Sha256, badEtag: null },
};

/** Asks for the bytes, and gets no further: no origin here has them. */
const store: SiteStore = {
  site: 'fra',
  put: async (_, { bytes }) => {
    for await (const _chunk of bytes) assert.fail('an origin answered');
    return assert.fail('an origin answered with nothing');
  },
  checksum: async () => null,
  open: async () => null,
  remove: () => assert.fail('nothing is removed'),
};

const failing = (name: string, code: ErrorCode): BlobOrigin => ({
  name,
  open: () => Promise.reject(new DebgeoError(code, `of ${name}`)),
});
const lacking = (name: string): BlobOrigin => ({ name, open: async () => null });

const codeFrom = (...origins: BlobOrigin[]): Promise<unknown> => {
  const source = {
    async *originsOf() {
      yield* origins;
    },
  };
  return copyBlob({ store, placeOf: (one) => one }, source, blob, never, async () => {}).then(
    () => assert.fail('it was copied'),
    (error: DebgeoError) => error.code,
  );
};

let server: Server;
before(async () => {
  server = createServer((_, response) => response.writeHead(404).end());
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
});
after(() => server.close());

const archive = (privateNetwork: boolean): BlobOrigin => {
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const open = createHttpArchive({ url, redirectOrigins: [], privateNetwork });
  return {
    name: 'archive',
    open: async (signal) => {
      const bytes = await open.open(path, blob.size, signal);
      return bytes && { bytes, md5: null };
    },
  };
};

test('an archive at an address that is not dialled may have the file', async () => {
  assert.equal(await codeFrom(archive(false), lacking('site sin')), 'ADDRESS_REFUSED');
  assert.equal(await codeFrom(archive(true), lacking('site sin')), 'BLOB_MISSING');
});

for (const code of ['REFERENCE_REFUSED', 'CONFIG_INVALID', 'ARCHIVE_LOGIN_MISSING'] as const)
  test(`an archive that a worker may not ask may have the file: ${code}`, async () => {
    assert.equal(await codeFrom(failing('archive', code), lacking('site sin')), code);
  });

for (const code of [
  'ADDRESS_REFUSED',
  'REFERENCE_REFUSED',
  'CONFIG_INVALID',
  'SITE_HOST_UNLISTED',
  'SITE_UNREACHABLE',
] as const)
  test(`another site that cannot be asked parks no lane, and is waited for: ${code}`, async () => {
    assert.equal(await codeFrom(lacking('archive'), failing('site sin', code)), 'BLOB_UNREACHABLE');
  });

test('an answer with other bytes is one', async () => {
  assert.equal(
    await codeFrom(lacking('archive'), failing('site sin', 'BLOB_MISMATCH')),
    'BLOB_MISMATCH',
  );
  assert.equal(await codeFrom(failing('archive', 'LIMIT_EXCEEDED')), 'BLOB_MISMATCH');
});
