/**
 * What was fresh once is judged again at every look and before it is published: Valid-Until, the
 * expiry of the pinned key, and Date.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';

import type { Activities } from '../../activities/index.ts';
import { recordLook } from '../../src/database/replications/looks.ts';
import { run } from '../../src/database/sql.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import { createSigningKey } from '../../src/made-archive/signing-key.ts';
import { aPackage, aWorld, type Planted, PLANTED_MS, type World } from '../support/world.ts';

/**
 * Enough for a capture and a publication beside other tests; what expires in a test is made this
 * long before.
 */
const VALID_S = 45;
const SETTLE_MS = 90_000;
/**
 * Few enough polls within VALID_S that none of them is the tenth, which asks without a condition.
 */
const POLL_MS = 9_000;

interface Expiry {
  readonly code: ErrorCode;
  /** Releases what expires in so many seconds; negative: what has expired. */
  readonly release: (world: World, version: string, seconds: number) => Promise<unknown>;
}

const VALID_UNTIL: Expiry = {
  code: 'RELEASE_EXPIRED',
  release: (world, version, seconds) =>
    world.release([aPackage('hello', version)], {
      validUntil: new Date(Date.now() + seconds * 1_000),
    }),
};

const KEY: Expiry = {
  code: 'SIGNATURE_KEY_EXPIRED',
  release: async (world, version, seconds) => {
    const created = new Date(Date.now() - 3_600_000);
    const key = await createSigningKey('short-lived', {
      created,
      validForSeconds: 3_600 + seconds,
    });
    const keyring = Buffer.concat([world.key.publicBinary, key.publicBinary]);
    await world.tune({ keyring });
    await world.release([aPackage('hello', version)], {
      key,
      signedAt: new Date(created.getTime() + 3_600_000 + Math.min(seconds, 0) * 1_000 - 1_000),
    });
  },
};

const aFreshWorld = (t: TestContext, planted?: Planted): Promise<World> =>
  aWorld(t, {
    sites: ['fra'],
    planted,
    settleMs: planted ? VALID_S * 1_000 + PLANTED_MS : SETTLE_MS,
  });

const publishedAt = async (world: World): Promise<[string, string][]> =>
  [...(await world.site('fra').contents())].filter(
    ([path]) => path.includes('/dists/') && !path.includes('/by-hash/'),
  );

async function atCapture(t: TestContext, { code, release }: Expiry): Promise<void> {
  const world = await aFreshWorld(t);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const before = await world.site('fra').contents();

  await release(world, '2.0', -60);
  const { outcome, report } = await world.look();

  assert.deepEqual([outcome, report?.code], ['failed', code]);
  assert.equal((await world.status()).generation, 1);
  assert.deepEqual(await world.site('fra').contents(), before);
}

async function whileUnchanged(
  t: TestContext,
  { code, release }: Expiry,
  planted?: Planted,
): Promise<void> {
  const world = await aFreshWorld(t, planted);
  await world.tune({ pollMs: POLL_MS });
  await release(world, '1.0', VALID_S);
  await world.update();
  const before = await world.site('fra').contents();
  const asked = (name: string): number =>
    world.archiveServer.requests.get(`/dists/bookworm/${name}`) ?? 0;
  const [inRelease, other] = [asked('InRelease'), asked('Release')];

  const status = await world.until(
    ({ failure }) => failure !== null,
    'a poll finds that it has expired',
  );

  assert.deepEqual(
    [status.failure?.code, status.status, status.sites[0]?.served],
    [code, 'failed', 1],
  );
  assert.ok(
    asked('InRelease') > inRelease && asked('Release') === other,
    'the archive said that nothing changed',
  );
  assert.deepEqual(await world.site('fra').contents(), before, 'the site keeps serving');
  await world.release([aPackage('hello', '2.0')]);
  await world.until(
    ({ status: now, sites }) => now === 'success' && sites[0]?.served === 2,
    'a good release heals it',
  );
}

async function beforePublish(
  t: TestContext,
  { code, release }: Expiry,
  planted?: Planted,
): Promise<void> {
  const world = await aFreshWorld(t, planted);
  await world.release([aPackage('hello', '1.0')]);
  await world.update();
  const before = await publishedAt(world);
  await world.command('pause');
  await world.until(({ sites }) => sites[0]!.paused, 'paused');
  const expiresAt = Date.now() + VALID_S * 1_000;
  await release(world, '2.0', VALID_S);
  assert.equal((await world.look()).outcome, 'captured');

  await sleep(expiresAt + 1_500 - Date.now()); // a signed time has to pass
  await world.command('resume');
  const status = await world.until(
    ({ sites }) => sites[0]!.failure !== null || sites[0]!.served > 1,
    'the lane came to publish',
  );

  assert.equal(status.sites[0]!.served, 1, 'it is served');
  assert.deepEqual([status.sites[0]!.failure?.code, status.sites[0]!.target], [code, 2]);
  assert.deepEqual(await publishedAt(world), before, 'nothing was published');
  await world.release([aPackage('hello', '3.0')]);
  assert.equal(await world.update(), 3, 'a good release heals it');
}

/** No Date, in every file of the Release set; rightly signed. */
async function releaseUndated(world: World): Promise<void> {
  const { files } = await world.archive().prepare([aPackage('hello', '1.0')]);
  const folder = `dists/${world.suite}`;
  const dated = Buffer.from(
    files.find(({ path }) => path === `${folder}/Release`)!.bytes,
  ).toString();
  const text = dated.replace(/^Date: .*\n/m, '');
  assert.notEqual(text, dated);
  const file = (name: string, content: string) => ({
    path: `${folder}/${name}`,
    bytes: Buffer.from(content),
    kind: 'release' as const,
  });
  await world
    .archive()
    .write([
      ...files.filter(({ kind }) => kind !== 'release'),
      file('Release.gpg', await world.key.signDetached(text)),
      file('Release', text),
      file('InRelease', await world.key.signClear(text)),
    ]);
}

test(
  'a release that expires is not published',
  { concurrency: true, timeout: 180_000 },
  async (t) => {
    await Promise.all([
      t.test('Valid-Until has passed when it is captured: refused', (t) =>
        atCapture(t, VALID_UNTIL),
      ),
      t.test(
        'Valid-Until passes while the archive is unchanged: failed, and sites keep serving',
        (t) => whileUnchanged(t, VALID_UNTIL),
      ),
      t.test('Valid-Until passes between capture and publish: nothing is published', (t) =>
        beforePublish(t, VALID_UNTIL),
      ),
      t.test('the pinned key has expired when it is captured: refused', (t) => atCapture(t, KEY)),
      t.test(
        'the pinned key expires while the archive is unchanged: failed, and sites keep serving',
        (t) => whileUnchanged(t, KEY),
      ),
      t.test('the pinned key expires between capture and publish: nothing is published', (t) =>
        beforePublish(t, KEY),
      ),

      t.test('it would be seen if publish did not judge Valid-Until', (t) => {
        const careless = (real: Activities, world: World): Activities => ({
          ...real,
          publishSnapshot: async (input) => {
            await run(
              world.database.read,
              sql`update distribution_snapshots set valid_until = null`,
            );
            return real.publishSnapshot(input);
          },
        });
        return assert.rejects(beforePublish(t, VALID_UNTIL, careless), /it is served/);
      }),
      t.test('it would be seen if an unchanged archive were not judged', (t) => {
        const careless = (real: Activities, world: World): Activities => ({
          ...real,
          captureSnapshot: async (input) => {
            if (input.unconditional) return real.captureSnapshot(input);
            const validator = { etag: null, lastModified: null };
            const roster = await recordLook(world.database, world.suite, {
              validator,
              unconditional: false,
              signatures: [],
            });
            return { outcome: 'unchanged', generation: roster.generation, roster };
          },
        });
        return assert.rejects(
          whileUnchanged(t, VALID_UNTIL, careless),
          /a poll finds that it has expired/,
        );
      }),
    ]);
  },
);

test('two bodies of one Date: the second is accepted, and the record says so', async (t) => {
  const world = await aFreshWorld(t);
  const { date } = await world.release([aPackage('hello', '1.0')]);
  await world.update();

  await world.release([aPackage('hello', '2.0')], { date });
  assert.equal(await world.update(), 2);

  assert.deepEqual(
    (await world.events('captured')).map(({ facts }) => facts['sameDate']),
    [false, true],
  );
});

test('without a Date a release is refused, unless the distribution accepts that', async (t) => {
  const world = await aFreshWorld(t);
  await releaseUndated(world);

  const refused = await world.look();
  await world.tune({ acceptUndated: true });

  assert.deepEqual([refused.outcome, refused.report?.code], ['failed', 'RELEASE_UNDATED']);
  assert.equal(await world.update(), 1);
});

test('a Date in the future is refused, and accepted by itself when it has come', async (t) => {
  const world = await aFreshWorld(t);
  await world.release([aPackage('hello', '1.0')], { date: new Date(Date.now() + 18_000) });

  const { outcome, report } = await world.look();

  assert.deepEqual([outcome, report?.code], ['failed', 'RELEASE_FUTURE']);
  await world.until(({ status }) => status === 'success', 'its time has come');
});
