import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { walkSite } from '../../src/demo/walk-site.ts';
import { packagesOf, serveArchive, SUITE, type ServedArchive } from './served-archive.ts';

const walk = (served: ServedArchive) => walkSite({ url: served.server.url, suite: SUITE, keyring: served.archive.key.publicBinary });

for (const releaseSet of ['both', 'detached'] as const) {
  test(`a walk counts what a release with Release set ${releaseSet} wrote`, async (t) => {
    const served = await serveArchive({ releaseSet, components: ['main', 'contrib'], hashes: ['MD5Sum', 'SHA512', 'SHA256'] });
    t.after(() => served.close());
    const content = await served.archive.release(packagesOf('1.0'));
    const count = (kind: string) => new Set(content.files.filter((file) => file.kind === kind).map((file) => file.path)).size;

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
    const [missing, wrong] = files.filter((file) => file.kind === kind && file.path !== `dists/${SUITE}/main/binary-amd64/Packages.gz`);
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
