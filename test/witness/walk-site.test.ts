import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';

import { ask, weigh } from '../../src/witness/ask-as-apt.ts';
import { walkSite } from '../../src/witness/walk-site.ts';
import { packagesOf, serveArchive, SUITE, type ServedArchive } from '../support/served-archive.ts';

const walk = (served: ServedArchive) =>
  walkSite({ url: served.server.url, suite: SUITE, keyring: served.archive.key.publicBinary });

for (const releaseSet of ['both', 'detached'] as const) {
  test(`a walk counts the files of a release, with Release set ${releaseSet}`, async (t) => {
    const served = await serveArchive({
      releaseSet,
      components: ['main', 'contrib'],
      hashes: ['MD5Sum', 'SHA512', 'SHA256'],
    });
    t.after(() => served.close());
    const content = await served.archive.release(packagesOf('1.0'));
    const count = (kind: string) =>
      new Set(content.files.filter((file) => file.kind === kind).map((file) => file.path)).size;

    const found = await walk(served);

    assert.deepEqual(found, {
      releaseSha256: createHash('sha256')
        .update(content.files.at(-1)?.bytes ?? '')
        .digest('hex'),
      indices: count('canonical'),
      byHash: count('by-hash'),
      absent: content.absent.length,
      poolFiles: count('pool'),
      members: count('by-hash') + count('pool'),
      faults: [],
    });
  });
}

for (const kind of ['pool', 'by-hash', 'canonical'] as const) {
  test(`a walk finds every ${kind} file that is missing or wrong`, async (t) => {
    const served = await serveArchive();
    t.after(() => served.close());
    const { files } = await served.archive.release(packagesOf('1.0'));
    const [missing, wrong] = files.filter(
      (file) => file.kind === kind && file.path !== `dists/${SUITE}/main/binary-amd64/Packages.gz`,
    );
    await rm(join(served.archive.folder, missing?.path ?? ''));
    await writeFile(join(served.archive.folder, wrong?.path ?? ''), 'x');

    const found = await walk(served);

    for (const path of [missing?.path, wrong?.path])
      assert.ok(
        found.faults.some((fault) => path?.endsWith(fault.split(':')[0] ?? '-')),
        path,
      );
  });
}

test('a walk finds bytes under a name that must answer 404', async (t) => {
  const served = await serveArchive();
  t.after(() => served.close());
  const { absent } = await served.archive.release(packagesOf('1.0'));
  await writeFile(join(served.archive.folder, absent[0] ?? ''), 'old bytes');

  const found = await walk(served);

  assert.notDeepEqual(found.faults, []);
});

test('a large pool file is hashed as it arrives, and half of one is an error', async (t) => {
  const [part, parts] = [Buffer.alloc(1024 * 1024, 'x'), 256];
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-length': part.length * parts });
    // prettier-ignore
    const body = Readable.from((function* () { for (let i = 0; i < parts; i += 1) yield part; })());
    if (request.url === '/whole') body.pipe(response);
    else response.write(part, () => response.destroy());
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const before = process.resourceUsage().maxRSS;

  const { size } = await weigh(url, 'whole');

  assert.equal(size, part.length * parts);
  assert.ok(
    (process.resourceUsage().maxRSS - before) * 1024 < (part.length * parts) / 2,
    'not all of it was in memory',
  );
  await assert.rejects(weigh(url, 'half'));
  await assert.rejects(ask(url, 'half'));
});
