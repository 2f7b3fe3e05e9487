import assert from 'node:assert/strict';
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import type { Archive } from '../../../src/archive/archive.ts';
import { missingContents } from '../../../src/database/catalog/index-contents.ts';
import { indexDigestsOf, readSnapshot } from '../../../src/database/catalog/snapshots.ts';
import { loadRoster } from '../../../src/database/replications/roster.ts';
import { hashOf } from '../../../src/made-archive/release-files.ts';
import { createSigningKey } from '../../../src/made-archive/signing-key.ts';
import { DISTRIBUTION } from '../../database/distribution-fixture.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { SUITE } from '../../support/served-archive.ts';
import { anArchive, packagesOf } from './an-archive.ts';

const requestsOf = (server: { requests: ReadonlyMap<string, number> }) =>
  new Map(
    [...server.requests].filter(
      ([path]) => !/(?:InRelease|Release|Release\.gpg)$/.test(path) || path.includes('binary'),
    ),
  );

test('a snapshot has pool files, indices at each by-hash path, and absent names', async () => {
  const one = await anArchive();
  const content = await one.archive.release(packagesOf('1'));

  const { outcome, generation, roster } = await one.look();

  assert.deepEqual(
    [outcome, generation, roster.generation, roster.replications[0]!.target],
    ['captured', 1, 1, 1],
  );
  const expected = content.files.filter(({ kind }) => kind === 'pool' || kind === 'by-hash');
  assert.deepEqual(
    await one.members(1),
    new Map(expected.map(({ path, bytes }) => [path, hashOf('SHA256', bytes)])),
  );
  const digests = await indexDigestsOf(one.db.read, one.distributionId, 1);
  assert.deepEqual(
    [...digests]
      .filter(([, sha256]) => sha256 === null)
      .map(([path]) => path)
      .sort(),
    [...content.absent].sort(),
  );
  const kept = [...digests.values()].filter((sha256) => sha256 !== null);
  assert.equal((await missingContents(one.db.read, kept)).size, 0);
  const stored = await readSnapshot(one.db.read, one.distributionId, 1);
  assert.deepEqual(
    [stored!.untorn, stored!.signers, stored!.date],
    [true, [one.archive.key.fingerprint], content.date],
  );
});

test('an unchanged archive is asked one thing, every tenth time unconditionally', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  await one.look();
  const costs: number[] = [];

  for (let i = 0; i < 10; i += 1) {
    const before = one.server.requestCount();
    assert.deepEqual(await one.look().then(({ outcome, generation }) => [outcome, generation]), [
      'unchanged',
      1,
    ]);
    costs.push(one.server.requestCount() - before);
  }

  assert.deepEqual(costs, [1, 1, 1, 1, 1, 1, 1, 1, 1, 3]);
});

test('an unchanged Release set is judged again: its key may have been withdrawn', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  await one.look();
  const other = await createSigningKey('another');
  await sql`update archives set keyring = ${other.publicBinary}`.execute(one.db.read.kysely);

  await assert.rejects(one.look(), refusesWith('SIGNATURE_UNKNOWN_KEY'));
});

test('of the next release only the indices that changed are fetched', async () => {
  const one = await anArchive({ archive: { components: ['main', 'contrib'] } });
  await one.archive.release(packagesOf('1'));
  await one.look();
  const before = requestsOf(one.server);
  const content = await one.archive.release(packagesOf('2'));

  const { outcome, generation } = await one.look();

  assert.deepEqual([outcome, generation], ['captured', 2]);
  const asked = [...requestsOf(one.server)]
    .filter(([path, times]) => times !== before.get(path))
    .map(([path]) => path.slice(1));
  const there = new Set(content.files.map(({ path }) => path));
  const fetched = asked.filter((path) => there.has(path));
  assert.ok(fetched.length > 0);
  assert.ok(
    fetched.every((path) => path.includes('/main/')),
    'contrib did not change',
  );
  assert.deepEqual(
    [...(await one.members(2)).keys()].filter((path) => path.startsWith('pool/')).sort(),
    [...content.pool.keys()].sort(),
  );
});

test('a release that is signed again is a new generation, and no index is fetched', async () => {
  const one = await anArchive();
  const packages = packagesOf('1');
  const { date } = await one.archive.release(packages);
  await one.look();
  const before = requestsOf(one.server);
  await one.archive.release(packages, { date, signedAt: new Date(Date.now() + 2_000) });

  const { outcome, generation } = await one.look();

  assert.deepEqual([outcome, generation], ['captured', 2]);
  assert.deepEqual(requestsOf(one.server), before);
  assert.deepEqual(await one.members(2), await one.members(1));
});

test('another selection is another generation of the same release', async () => {
  const one = await anArchive({ archive: { components: ['main', 'contrib'] } });
  await one.archive.release(packagesOf('1'));
  await one.look();
  await sql`update debian_distributions set components = '{main}'`.execute(one.db.read.kysely);

  const { outcome, generation } = await one.look();

  assert.deepEqual([outcome, generation], ['captured', 2]);
  assert.ok(
    [...(await indexDigestsOf(one.db.read, one.distributionId, 2)).keys()].every(
      (path) => !path.includes('/contrib/'),
    ),
  );
});

test('an index is fetched by hash: a canonical name that differs is not asked', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  await writeFile(one.file(`dists/${SUITE}/main/binary-amd64/Packages.gz`), 'rotten');

  assert.equal((await one.look()).outcome, 'captured');
});

test('without by-hash a canonical name that differs is INDEX_MISMATCH', async () => {
  const one = await anArchive({ archive: { acquireByHash: false, releaseSet: 'detached' } });
  await one.archive.release(packagesOf('1'));

  assert.equal((await one.look()).outcome, 'captured');
  assert.equal((await readSnapshot(one.db.read, one.distributionId, 1))!.untorn, false);
  await one.archive.release(packagesOf('2'));
  await writeFile(one.file(`dists/${SUITE}/main/binary-amd64/Packages.gz`), 'rotten');
  await assert.rejects(one.look(), refusesWith('INDEX_MISMATCH'));
  assert.equal((await loadRoster(one.db, DISTRIBUTION)).generation, 1);
});

test('Packages without a variant are INDEX_MISSING, a missing Translation is absent', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  await rm(one.file(`dists/${SUITE}/main/i18n`), { recursive: true });
  await rename(one.file(`dists/${SUITE}/main/binary-amd64`), one.file('aside'));

  await assert.rejects(one.look(), refusesWith('INDEX_MISSING'));
  await rename(one.file('aside'), one.file(`dists/${SUITE}/main/binary-amd64`));
  await one.look();

  const digests = await indexDigestsOf(one.db.read, one.distributionId, 1);
  assert.deepEqual(
    [...digests].filter(([path]) => path.includes('i18n')).map(([, sha256]) => sha256),
    [null, null, null],
  );
});

test('an older, an expired and a forged release are refused and change nothing', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  await one.look();
  const hour = 3_600_000;
  const key = await createSigningKey('a stranger');

  for (const [options, code] of [
    [{ date: new Date(Date.now() - hour) }, 'RELEASE_ROLLBACK'],
    [{ validUntil: new Date(Date.now() - hour) }, 'RELEASE_EXPIRED'],
    [{ key }, 'SIGNATURE_UNKNOWN_KEY'],
  ] as const) {
    await one.archive.release(packagesOf('2'), options);
    await assert.rejects(one.look(), refusesWith(code), code);
  }

  assert.equal((await loadRoster(one.db, DISTRIBUTION)).generation, 1);
});

test('a Release.gpg that lags behind is left out, and saved by a later look', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  await one.look();
  const releaseGpg = one.file(`dists/${SUITE}/Release.gpg`);
  const lagging = await readFile(releaseGpg);
  const { files } = await one.archive.release(packagesOf('2'));
  const fresh = await readFile(releaseGpg);
  await writeFile(releaseGpg, lagging);

  const looks = [await one.look(), await one.look()];
  await writeFile(releaseGpg, fresh);
  looks.push(await one.look());

  const generations = looks.map(({ generation }) => generation);
  const stored = await Promise.all(
    generations.map((generation) => readSnapshot(one.db.read, one.distributionId, generation)),
  );
  assert.deepEqual(generations, [2, 2, 3]);
  assert.deepEqual(
    stored.map((snapshot) => snapshot!.releaseSet.releaseGpg),
    [null, null, fresh],
  );
  const bytesOf = (name: string) =>
    Buffer.from(files.find(({ path }) => path === `dists/${SUITE}/${name}`)!.bytes);
  for (const snapshot of stored) {
    assert.deepEqual(snapshot!.releaseSet.inRelease, bytesOf('InRelease'));
    assert.deepEqual(snapshot!.releaseSet.release, bytesOf('Release'));
  }
});

test('a Release that differs from InRelease is left out; the one on record stays', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  await one.look();
  const { releaseSet } = (await readSnapshot(one.db.read, one.distributionId, 1))!;
  const next = await one.archive.prepare(packagesOf('2'));
  const isInRelease = ({ path }: { path: string }) => path.endsWith('/InRelease');

  await one.archive.write(next.files.filter((file) => !isInRelease(file)));
  const begun = await one.look(true);
  await rm(one.file(`dists/${SUITE}/Release.gpg`));
  await writeFile(one.file(`dists/${SUITE}/Release`), Buffer.from(releaseSet.release!));
  await one.archive.write(next.files.filter(isInRelease));
  const behind = await one.look();

  assert.deepEqual(
    [begun.outcome, begun.generation, behind.outcome, behind.generation],
    ['unchanged', 1, 'captured', 2],
  );
  const second = await readSnapshot(one.db.read, one.distributionId, 2);
  assert.deepEqual(
    [second!.releaseSet.release, second!.releaseSet.releaseGpg, second!.untorn],
    [null, null, true],
  );
});

/**
 * Calls `released` when a variant of Packages is opened, up to `times` times, one after the other:
 * the archive releases while it is read.
 */
function releasing(times: number, released: () => Promise<unknown>): (archive: Archive) => Archive {
  let turn: Promise<unknown> = Promise.resolve();
  return (archive) => ({
    fetchReleaseSet: (folder, validator, signal) =>
      archive.fetchReleaseSet(folder, validator, signal),
    close: () => archive.close(),
    open: async (path, sizeMax, signal) => {
      if (path.includes('/Packages') && times > 0) {
        times -= 1;
        await (turn = turn.then(released));
      }
      return archive.open(path, sizeMax, signal);
    },
  });
}

test('an archive that releases while it is read is read again', async () => {
  const one = await anArchive({ archive: { acquireByHash: false } });
  await one.archive.release(packagesOf('1'));
  one.interpose(releasing(1, () => one.archive.release(packagesOf('2'))));

  const { generation } = await one.look();

  assert.equal(generation, 1);
  assert.ok([...(await one.members(1)).keys()].some((path) => path.endsWith('hello_2_amd64.deb')));
});

test('an archive that never stops releasing is ARCHIVE_CHANGING', async () => {
  const one = await anArchive({ archive: { acquireByHash: false } });
  await one.archive.release(packagesOf('0'));
  let version = 1;
  one.interpose(releasing(100, () => one.archive.release(packagesOf(String(version++)))));

  await assert.rejects(one.look(), refusesWith('ARCHIVE_CHANGING'));

  assert.equal((await loadRoster(one.db, DISTRIBUTION)).generation, 0);
});

test('a capture that a newer one has overtaken does not bring back the older release', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  let asked = 0;
  one.interpose((archive) => ({
    open: (path, sizeMax, signal) => archive.open(path, sizeMax, signal),
    close: () => archive.close(),
    fetchReleaseSet: async (folder, validator, signal) => {
      const answer = await archive.fetchReleaseSet(folder, validator, signal);
      if ((asked += 1) === 2) {
        await one.archive.release(packagesOf('2')); // behind the last question of the slow capture
        await one.look();
      }
      return answer;
    },
  }));

  await assert.rejects(one.look(), refusesWith('ARCHIVE_CHANGING'));

  assert.equal((await loadRoster(one.db, DISTRIBUTION)).generation, 1);
  assert.ok([...(await one.members(1)).keys()].some((path) => path.endsWith('hello_2_amd64.deb')));
});

test('an index that Release lists under SHA512 only is kept under its SHA-256', async () => {
  const one = await anArchive({ archive: { hashes: ['SHA512'] } });
  const content = await one.archive.release(packagesOf('1'));

  await one.look();

  assert.ok([...(await one.members(1)).keys()].some((path) => path.includes('/by-hash/SHA512/')));
  assert.equal(
    [...(await one.members(1)).keys()].filter((path) => path.startsWith('pool/')).length,
    content.pool.size,
  );
});

test('an index that comes byte by byte is ARCHIVE_SLOW when its time is over', async () => {
  const one = await anArchive({ fetchMs: 300 });
  await one.archive.release(packagesOf('1'));
  one.interpose((archive) => ({
    fetchReleaseSet: (...wanted) => archive.fetchReleaseSet(...wanted),
    close: () => archive.close(),
    open: async (path, sizeMax, signal) => {
      const bytes = await archive.open(path, sizeMax, signal);
      return bytes && byteByByte(bytes, signal);
    },
  }));

  const from = performance.now();
  await assert.rejects(one.look(), refusesWith('ARCHIVE_SLOW', { expected: 'within 300 ms' }));

  assert.ok(performance.now() - from < 5_000);
  assert.equal((await loadRoster(one.db, DISTRIBUTION)).generation, 0);
});

async function* byteByByte(
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes)
    for (let at = 0; at < chunk.length; at += 1) {
      await sleep(20, undefined, { signal });
      yield chunk.subarray(at, at + 1);
    }
}

test('a disk without room for an index is DISK_FULL, and nothing is saved', async (t) => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  await using file = await open(one.file(`dists/${SUITE}/InRelease`));
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
  });
  t.mock.method(Object.getPrototypeOf(file) as typeof file, 'writeFile', () =>
    Promise.reject(full),
  );

  await assert.rejects(one.look(), refusesWith('DISK_FULL', { found: 'ENOSPC' }));
  assert.equal((await loadRoster(one.db, DISTRIBUTION)).generation, 0);

  t.mock.restoreAll();
  assert.equal((await one.look()).generation, 1);
});

test('a cancelled capture ends and saves nothing', async () => {
  const one = await anArchive();
  await one.archive.release(packagesOf('1'));
  const stop = new AbortController();
  one.interpose(releasing(1, async () => stop.abort()));

  await assert.rejects(one.look(true, stop.signal));

  assert.equal((await loadRoster(one.db, DISTRIBUTION)).generation, 0);
});

test('a look at a removed distribution answers an empty roster, and is no error', async () => {
  const one = await anArchive();
  await sql`update debian_distributions set removed = true`.execute(one.db.read.kysely);

  const { outcome, roster } = await one.look();

  assert.deepEqual([outcome, roster.removed], ['unchanged', true]);
});
