/** What a worker that froze in the middle of a publication writes when others have gone on. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import { applyCommand } from '../../../src/database/replications/commands.ts';
import { all, ms, one, run } from '../../../src/database/sql.ts';
import type { RepoPath } from '../../../src/domain/repo-path.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { replicationOf } from '../../support/replication-of.ts';
import { Killed, meddling } from '../stores.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const AT = { distribution: 'bookworm', site: 'fra' };
const IN_RELEASE = 'debian/dists/bookworm/InRelease' as RepoPath;
const GZ = 'debian/dists/bookworm/main/binary-amd64/Packages.gz' as RepoPath;
const XZ = 'debian/dists/bookworm/main/binary-amd64/Packages.xz' as RepoPath;
const never = new AbortController().signal;

const at = async (lanes: Lanes, path: RepoPath) => {
  const found = await lanes.site().store.checksum(path, never);
  if (found === 'changed') throw new Error('read without a condition');
  return found;
};

/** The other indices stand at the site: only one write of the frozen worker is on its way. */
async function stand(lanes: Lanes, generation: number, held: RepoPath): Promise<void> {
  const wanted = await all(
    lanes.database.read,
    sql<{ path: string; sha256: string | null }>`
      select path, encode(sha256, 'hex') as sha256
      from snapshot_indices
      where generation = ${generation}`,
  );
  const isThere = async ({ path, sha256 }: (typeof wanted)[number]): Promise<boolean> => {
    const place = `debian/${path}` as RepoPath;
    return place === held || ((await at(lanes, place))?.sha256 ?? null) === sha256;
  };
  const deadline = Date.now() + 20_000;
  while (!(await Promise.all(wanted.map(isThere))).every(Boolean)) {
    assert.ok(Date.now() < deadline, 'the other names are there');
    await sleep(20);
  }
}

/** A release with, or without, its Packages.xz; Release lists it all the same. */
async function release(lanes: Lanes, version: string, xz: boolean): Promise<number> {
  const isOther = ({ path, kind }: { path: string; kind: string }) =>
    !path.endsWith('/Packages.xz') && kind !== 'by-hash';
  await rm(`${lanes.folder}/dists/bookworm/main/binary-amd64/Packages.xz`, { force: true });
  await rm(`${lanes.folder}/dists/bookworm/main/binary-amd64/by-hash`, {
    force: true,
    recursive: true,
  });
  return lanes.capture([aPackage('hello', version)], 'bookworm', (content) =>
    xz ? content : { ...content, files: content.files.filter(isOther) },
  );
}

/**
 * Worker 1 stops before it writes one name of generation 2. Worker 2 publishes 2, and then 3, which
 * has no Packages.xz, as generation 1 had none. Then worker 1 goes on.
 */
async function aFrozenWorker(t: TestContext, held: RepoPath): Promise<Lanes> {
  const lanes = await startLanes(t, { archive: { compressions: ['gz', 'xz'] } });
  await lanes.replicate(await release(lanes, '1.0', false));
  const second = await release(lanes, '2.0', true);
  const { syncBlobs, checksumBlobs, verifySnapshot } = lanes.activities();
  const input = { ...AT, generation: second };
  await inActivity(() => syncBlobs({ ...input, plan: true }));
  await inActivity(() => checksumBlobs(input));
  await inActivity(() => verifySnapshot(input));

  const reached = Promise.withResolvers<void>();
  const thawed = Promise.withResolvers<void>();
  t.after(() => thawed.resolve());
  const frozen = meddling(
    lanes.site().store,
    (call, path) => call === 'put' && path === held,
    async () => {
      reached.resolve();
      await thawed.promise;
    },
  );
  const { ticket } = await replicationOf(lanes.database.read, AT);
  const step = { ...input, ticket: ticket!, probe: true };
  const worker1 = inActivity(() =>
    lanes.activities({ stores: new Map([['fra', frozen]]) }).publishSnapshot(step),
  );
  worker1.catch(() => undefined);
  await reached.promise;
  await stand(lanes, second, held);
  await inActivity(() => lanes.activities().publishSnapshot(step), { attempt: 2 });
  assert.notEqual(await at(lanes, XZ), null);
  await lanes.replicate(await release(lanes, '3.0', false));
  assert.equal(await at(lanes, XZ), null);

  thawed.resolve();
  await assert.rejects(worker1, (error) => code(error) === 'FENCED');
  return lanes;
}

async function aLateWrite(t: TestContext): Promise<Lanes> {
  const lanes = await aFrozenWorker(t, XZ);
  assert.notEqual(await at(lanes, XZ), null, 'the late write has come');
  return lanes;
}

test('a late write over what a newer attempt has written changes nothing', async (t) => {
  const lanes = await aFrozenWorker(t, GZ);

  const { served } = await replicationOf(lanes.database.read, AT);
  const { row } = await lanes.replicate(served);
  assert.equal(row.state, 'synced');
  const [wanted] = await all(
    lanes.database.read,
    sql<{ sha256: string }>`
      select encode(sha256, 'hex') as sha256
      from snapshot_indices
      where generation = ${served}
        and path like '%/Packages.gz'`,
  );
  assert.equal((await at(lanes, GZ))!.sha256, wanted!.sha256);
});

test('a late write to a deleted name is removed by the next publication', async (t) => {
  const lanes = await aLateWrite(t);

  const { row } = await lanes.replicate(await release(lanes, '4.0', false));

  assert.equal(row.state, 'synced');
  assert.equal(await at(lanes, XZ), null);
});

test('a late write to a deleted name is removed by verify', async (t) => {
  const lanes = await aLateWrite(t);
  const { served } = await replicationOf(lanes.database.read, AT);
  await applyCommand(lanes.database, AT, { verify: true }, null);

  const { row } = await lanes.replicate(served);

  assert.equal(row.state, 'synced');
  assert.equal(await at(lanes, XZ), null);
});

test('a late write is ours where the name is wanted again: it is replaced', async (t) => {
  const lanes = await aLateWrite(t);
  const late = await at(lanes, XZ);
  const generation = await release(lanes, '5.0', true);

  const { row } = await lanes.replicate(generation);

  assert.equal(row.served, generation);
  assert.notEqual((await at(lanes, XZ))!.sha256, late!.sha256);
});

test('foreign bytes at a deleted name are left, and stop no publication', async (t) => {
  const lanes = await aLateWrite(t);
  const foreign = 'of another program';
  await lanes.site().container.getBlockBlobClient(XZ).upload(foreign, foreign.length);
  const generation = await release(lanes, '4.0', false);

  // Release lists the name as one that the archive lacks, so the probe tells of it.
  await assert.rejects(lanes.replicate(generation), (error) => code(error) === 'SITE_SERVES_OTHER');

  const { served, publishing } = await replicationOf(lanes.database.read, AT);
  assert.deepEqual([served, publishing], [generation, false]);
  assert.notEqual(await at(lanes, XZ), null);
});

test('it would be seen if nothing remembered when a name was deleted', async (t) => {
  const lanes = await aLateWrite(t);
  await run(lanes.database.read, sql`update published_names set deleted_at = null`);

  await assert.rejects(lanes.replicate(await release(lanes, '4.0', false)));

  assert.notEqual(await at(lanes, XZ), null);
});

test('a kill between two writes of InRelease does not hide it from apt', async (t) => {
  const lanes = await startLanes(t);
  await lanes.replicate(await lanes.capture([aPackage('hello', '1.0')]));
  const generation = await lanes.capture([aPackage('hello', '2.0')]);
  // As from a site whose clock was ahead: what is written within the next seconds is not later.
  const after = (await one(
    lanes.database.read,
    sql<{ at: number }>`
      update published_names
      set last_modified = date_trunc('second', now() + interval '12 seconds')
      where path like '%/InRelease'
      returning ${ms('last_modified')} as at`,
  ))!.at;
  const real = lanes.site().store;
  const dying: SiteStore = {
    site: real.site,
    checksum: (...args) => real.checksum(...args),
    open: (...args) => real.open(...args),
    remove: (...args) => real.remove(...args),
    put: async (path, ...args) => {
      const written = await real.put(path, ...args);
      if (path === IN_RELEASE) throw new Killed('killed');
      return written;
    },
  };

  await assert.rejects(
    lanes.replicate(generation, 'fra', lanes.activities({ stores: new Map([['fra', dying]]) })),
    Killed,
  );
  const first = (await at(lanes, IN_RELEASE))!;
  assert.ok(first.lastModified <= after, 'the first write is not later');
  const { row } = await lanes.replicate(generation);

  assert.equal(row.served, generation);
  const found = (await at(lanes, IN_RELEASE))!;
  assert.equal(found.sha256, first.sha256);
  assert.ok(found.lastModified > after);
});
