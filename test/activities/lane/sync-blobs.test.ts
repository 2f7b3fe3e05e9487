import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';

import { sql } from 'kysely';

import { createActivities } from '../../../activities/index.ts';
import { DebgeoError } from '../../../src/domain/errors.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import type { RepoPath } from '../../../src/domain/repo-path.ts';
import type { SiteStore } from '../../../src/site/site-store.ts';
import { Spool } from '../../../src/spool/spool.ts';
import { counting } from '../stores.ts';
import { aPackage, code, inActivity, startLanes, type Lanes } from './lanes.ts';

const never = new AbortController().signal;
const poolOf = (lanes: Lanes, generation: number, name: string) =>
  lanes.released[generation]!.files.find(
    (file) => file.kind === 'pool' && file.path.includes(`/${name}_`),
  )!.path;
const claimed = async (lanes: Lanes) => {
  // What no attempt at work claims is open, as pending is.
  const { rows } = await sql<{ state: number; count: number }>`
    select case
        when r.state = 1 and not exists (select from claims c where c.id = r.claim) then 0
        else r.state
      end as state,
      count(*)
    from blob_registry r
    group by 1
    order by 1`.execute(lanes.database.read.kysely);
  return new Map(rows.map((row) => [row.state, row.count]));
};

test('a file that the archive lost comes from another site, or is superseded', async (t) => {
  const lanes = await startLanes(t, { sites: ['fra', 'sin'] });
  const hello = aPackage('hello', '1.0');
  const first = await lanes.capture([hello]);
  const steps = lanes.activities();
  const at = (generation: number, site = 'fra') => ({ distribution: 'bookworm', site, generation });

  await lanes.replicate(first, 'fra');
  await rm(`${lanes.folder}/${poolOf(lanes, first, 'hello')}`);
  assert.equal((await lanes.replicate(first, 'sin')).row.served, first);

  const second = await lanes.capture([hello, aPackage('lost', '1.0')]);
  await rm(`${lanes.folder}/${poolOf(lanes, second, 'lost')}`);
  await inActivity(() => steps.planSync(at(second)));
  await assert.rejects(
    inActivity(() => steps.syncBlobs(at(second))),
    (error: any) => {
      assert.equal(error.type, 'BLOB_MISSING');
      assert.ok(error.details[0].message.includes('lost'));
      return true;
    },
  );
  await inActivity(() =>
    steps.recordFailure({
      distribution: 'bookworm',
      site: 'fra',
      report: { code: 'BLOB_MISSING', message: '' },
    }),
  );

  await inActivity(() => steps.planSync(at(second)));
  const third = await lanes.capture([hello]);
  await assert.rejects(
    inActivity(() => steps.syncBlobs(at(second))),
    (error) => code(error) === 'SUPERSEDED',
  );
  await inActivity(() =>
    steps.recordFailure({
      distribution: 'bookworm',
      site: 'fra',
      report: { code: 'SUPERSEDED', message: '' },
    }),
  );
  assert.equal((await lanes.replicate(third)).row.served, third);
});

test('a file that is longer than its index says stops no other', async (t) => {
  const lanes = await startLanes(t);
  const names = Array.from({ length: 40 }, (_, at) => `pkg${String(at).padStart(2, '0')}`);
  const generation = await lanes.capture(names.map((name) => aPackage(name, '1.0')));
  const at = { distribution: 'bookworm', site: 'fra', generation };
  await writeFile(`${lanes.folder}/${poolOf(lanes, generation, names[0]!)}`, Buffer.alloc(10_000));
  await inActivity(() => lanes.activities().planSync(at));

  await assert.rejects(
    inActivity(() => lanes.activities().syncBlobs(at)),
    (error) => code(error) === 'BLOB_MISMATCH',
  );

  assert.equal((await claimed(lanes)).get(3), 1, 'only that one is failed');
});

test('a file that the archive denies stops no other, of its batch or a later one', async (t) => {
  const lanes = await startLanes(t);
  const names = Array.from(
    { length: 2 * LIMITS.batchFiles + 60 },
    (_, at) => `pkg${String(at).padStart(3, '0')}`,
  );
  const generation = await lanes.capture(names.map((name) => aPackage(name, '1.0')));
  const at = { distribution: 'bookworm', site: 'fra', generation };
  const forbidden = poolOf(lanes, generation, names[0]!);
  const deps = lanes.deps();
  const archiveOf: typeof deps.archiveOf = async (record) => {
    const archive = await deps.archiveOf(record);
    return {
      fetchReleaseSet: (...args) => archive.fetchReleaseSet(...args),
      close: () => archive.close(),
      open: (path, ...args) =>
        path === forbidden
          ? Promise.reject(new DebgeoError('ARCHIVE_DENIED', 'HTTP 403'))
          : archive.open(path, ...args),
    };
  };
  await inActivity(() => lanes.activities().planSync(at));

  await assert.rejects(
    inActivity(() => createActivities({ ...deps, archiveOf }).syncBlobs(at)),
    (error) => code(error) === 'ARCHIVE_DENIED',
  );

  const states = await claimed(lanes);
  assert.deepEqual(
    [states.get(0), states.get(1), states.get(3)],
    [1, undefined, undefined],
    'all others are copied',
  );
});

test('an unreachable archive ends the slice; copies are booked, claims freed', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  const steps = lanes.activities();
  const at = { distribution: 'bookworm', site: 'fra', generation };
  await inActivity(() => steps.planSync(at));
  await lanes.server.refuse();

  await assert.rejects(
    inActivity(() => steps.syncBlobs(at)),
    (error) => code(error) === 'ARCHIVE_UNREACHABLE',
  );

  const states = await claimed(lanes);
  assert.equal(states.get(1), undefined, 'nothing stays claimed');
  assert.equal(states.get(0), 1, 'the pool file is open');
  assert.ok(states.get(2)! > 0, 'indices were captured, and are copied');
  await lanes.server.accept();
  assert.equal((await lanes.replicate(generation)).row.served, generation);
});

test('a cancel ends the slice; copies are booked, claims freed', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  const at = { distribution: 'bookworm', site: 'fra', generation };
  await inActivity(() => lanes.activities().planSync(at));
  const abort = new AbortController();
  const real = lanes.site().store;
  const stuck: SiteStore = {
    site: real.site,
    open: (...args) => real.open(...args),
    remove: (...args) => real.remove(...args),
    checksum: (...args) => real.checksum(...args),
    put: async (path, content, expected, signal) => {
      if (!path.includes('/pool/')) return real.put(path, content, expected, signal);
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        setTimeout(() => abort.abort(), 300);
      });
    },
  };

  const steps = lanes.activities({ stores: new Map([['fra', stuck]]) });
  await assert.rejects(
    inActivity(() => steps.syncBlobs(at), { signal: abort.signal }),
    (error: any) => error.name === 'CancelledFailure',
  );

  const states = await claimed(lanes);
  assert.equal(states.get(1), undefined);
  assert.equal(states.get(0), 1);
});

test('other bytes at an immutable path are replaced under their ETag, on record', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0')]);
  const path = poolOf(lanes, generation, 'hello');
  await lanes.site().container.getBlockBlobClient(`debian/${path}`).upload('half a package', 14);

  await lanes.replicate(generation);

  const found = await lanes.site().store.checksum(`debian/${path}` as RepoPath, never);
  assert.ok(
    found !== null &&
      found !== 'changed' &&
      found.sha256 === lanes.released[generation]!.pool.get(path),
  );
  const { rows } = await sql<{
    code: string;
    path: string;
  }>`select code, path from incidents`.execute(lanes.database.read.kysely);
  assert.deepEqual(rows, [{ code: 'BLOB_CORRUPT', path }]);
});

test('a slice ends in time, and the next one writes no blob a second time', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0'), aPackage('other', '1.0')]);
  const at = { distribution: 'bookworm', site: 'fra', generation };
  const counted = counting(lanes.site().store);
  const steps = lanes.activities({ stores: new Map([['fra', counted.store]]), sliceMs: 0 });
  await inActivity(() => steps.planSync(at));

  const one = await inActivity(() => steps.syncBlobs(at));
  const two = await inActivity(() => steps.syncBlobs(at));
  const three = await inActivity(() => lanes.activities().syncBlobs(at));

  assert.equal(one.more, true);
  assert.equal(two.more || three.more, two.more);
  assert.equal(three.row!.filesDone, three.row!.filesTotal);
  assert.ok([...counted.writes.values()].every((count) => count === 1));
});

test('a pool file that two distributions share is written once', async (t) => {
  const lanes = await startLanes(t, { suites: ['bookworm', 'trixie'] });
  const shared = aPackage('hello', '1.0');
  const bookworm = await lanes.capture([shared], 'bookworm');
  const trixie = await lanes.capture([shared], 'trixie');
  const counted = counting(lanes.site().store);
  const steps = lanes.activities({ stores: new Map([['fra', counted.store]]) });

  await Promise.all([
    lanes.replicate(bookworm, 'fra', steps, 'bookworm'),
    lanes.replicate(trixie, 'fra', steps, 'trixie'),
  ]);

  assert.deepEqual(
    [...counted.writes].filter(([, count]) => count > 1),
    [['.debgeo/site.json', 3]],
    'but the claim, in which each suite is named',
  );
});

for (const [way, asked] of [
  ['with a spool, the archive is asked once for a file that three sites lack', 1],
  ['without a spool, it is asked once per site: the test above can fail', 3],
] as const) {
  test(way, async (t) => {
    const lanes = await startLanes(t, { sites: ['fra', 'sin', 'gru'] });
    const generation = await lanes.capture(
      Array.from({ length: 12 }, (_, at) => aPackage(`pkg${at}`, '1.0')),
    );
    const spool =
      asked === 1
        ? new Spool(join(lanes.folder, 'spool'), (error) => assert.fail(String(error)))
        : undefined;
    t.after(() => spool?.close());
    const steps = createActivities({ ...lanes.deps(), ...(spool === undefined ? {} : { spool }) });

    await Promise.all(['fra', 'sin'].map((site) => lanes.replicate(generation, site, steps)));
    await lanes.replicate(generation, 'gru', steps);

    const reads = [...lanes.server.requests]
      .filter(([path]) => path.startsWith('/pool/'))
      .map(([, count]) => count);
    assert.deepEqual(reads, Array(12).fill(asked));
  });
}
