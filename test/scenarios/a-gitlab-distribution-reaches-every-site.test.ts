import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Deps } from '../../activities/deps.ts';
import type { Archive } from '../../src/archive/archive.ts';
import { isByHash } from '../../src/domain/repo-path.ts';
import { makeBinaryPackage, makeSourcePackage } from '../../src/made-archive/deb-package.ts';
import { aGitLabWorld, type GitLabWorld } from '../support/gitlab-world.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { aPackage, nudge, PLANTED_MS, TUNING, type World } from '../support/world.ts';

type PlantedArchive = (real: Archive) => Archive;

/** What the activities ask in place of the archive; wrong on purpose. */
const planting = (planted?: PlantedArchive) =>
  planted && {
    deps: (real: Deps): Deps => ({
      ...real,
      archiveOf: async (archive) => planted(await real.archiveOf(archive)),
    }),
    settleMs: PLANTED_MS,
  };

const wrapped = (real: Archive, wrong: Partial<Archive>): Archive => ({
  fetchReleaseSet: (...asked) => real.fetchReleaseSet(...asked),
  open: (...asked) => real.open(...asked),
  close: () => real.close(),
  ...wrong,
});

const hello = aPackage('hello', '1:1.0~rc1+b2');
const manual = makeBinaryPackage({
  name: 'hello-doc',
  version: '1.0',
  architecture: 'all',
  payload: Buffer.from('the manual of hello'),
});
const source = makeSourcePackage({
  name: 'hello',
  version: '1:1.0~rc1',
  payload: Buffer.from('the source of hello'),
});

async function assertEverywhere(
  { world, apt, assertWhole }: GitLabWorld,
  versions: Readonly<Record<string, string | null>>,
): Promise<void> {
  for (const name of world.sites.keys()) {
    const walk = await assertWhole(name);
    const status = await world.siteStatus(name);
    assert.deepEqual(
      [status.members, status.verified, status.class],
      [walk.members, walk.members, 'untorn'],
    );
    const client = await apt(name);
    for (const [one, version] of Object.entries(versions))
      assert.equal(await client.versionOf(one), version, `${one} at ${name}`);
    const installed = await client.installDownloadOnly('hello');
    assert.equal(installed.exitCode, 0, installed.output);
  }
}

async function aDistribution(
  t: TestContext,
  planted?: PlantedArchive,
  options: Parameters<typeof aGitLabWorld>[1] = {},
): Promise<void> {
  const inside = await aGitLabWorld(t, { ...options, ...planting(planted) });
  const { world, gitlab, replicated, distribution } = inside;

  await inside.publish(hello, manual, source);
  await world.update();
  await assertEverywhere(inside, { hello: '1:1.0~rc1+b2', 'hello-doc': '1.0', tool: null });

  const [tool] = await inside.publish(aPackage('tool', '2.0'));
  await world.update();
  await assertEverywhere(inside, { tool: '2.0' });

  await inside.remove(tool!);
  const index = `${gitlab.archiveUrl(replicated)}/dists/bookworm/main/binary-amd64/Packages`;
  const byName = await (await fetch(index)).text();
  assert.match(byName, /^Package: tool$/m, 'GitLab answers its name with the index before');
  assert.ok(!distribution.releaseSet!.release.includes(` ${byName.length} main/binary-amd64/P`));
  await world.update();
  await assertEverywhere(inside, { hello: '1:1.0~rc1+b2', tool: null });

  assert.ok(gitlab.storage.requests > 0, 'files come out of object storage');
  assert.ok(
    gitlab.requests.some(({ status }) => status === 204),
    'empty indices are answered with 204',
  );
  assert.equal((await world.status()).status, 'success');
}

const HOUR_MS = 3_600_000;

/** Between InRelease and the first index more than an hour passes, with two generations. */
async function anIndexVanishes(t: TestContext, planted?: PlantedArchive): Promise<void> {
  let behindMs = 5 * HOUR_MS;
  const inside = await aGitLabWorld(t, {
    sites: ['fra'],
    gitlab: { now: () => Date.now() - behindMs },
    ...planting(planted),
  });
  const { world, gitlab, publish, remove } = inside;
  const [tool] = await publish(aPackage('tool', '1.0'));
  await publish(manual);
  let isReleasing = false;
  gitlab.beforeAnswer = async (path) => {
    if (isReleasing || !path.includes('/main/binary-amd64/by-hash/')) return;
    isReleasing = true;
    behindMs -= 1.5 * HOUR_MS;
    await remove(tool!);
    behindMs -= 1.5 * HOUR_MS;
    await publish();
  };

  const found = await world.look();

  const indexAnswers = gitlab.requests
    .filter(({ path }) => path.includes('/main/binary-amd64/'))
    .map(({ status }) => status);
  assert.deepEqual(indexAnswers.slice(0, 2), [404, 204], 'it is gone by hash and empty by name');
  assert.equal(found.outcome, 'captured', JSON.stringify(found));
  await world.update();
  await inside.assertWhole('fra');
  const { failure, status } = await world.status();
  assert.deepEqual([failure, status], [null, 'success']);
}

/** Ten uploads within seconds, each followed by a generation and a call to debgeo. */
async function aBurst(t: TestContext, tell: (world: World) => Promise<unknown>): Promise<void> {
  const { world, gitlab, publish, assertWhole } = await aGitLabWorld(t, { sites: ['fra'] });
  await publish(hello);
  await world.update();
  await world.tune({ waits: { ...TUNING, gatherMs: 1_000 } });

  for (let number = 0; number < 10; number += 1) {
    await publish(aPackage(`tool${number}`, '1.0'));
    await tell(world);
  }
  const generation = await world.update();

  assert.ok(gitlab.registry.generations > 10);
  assert.ok(generation <= 6, `ten uploads are ${generation - 1} generations`);
  await assertWhole('fra');
}

test('a distribution of a GitLab project reaches both sites, and apt installs it', NEEDS_APT, (t) =>
  aDistribution(t),
);
test("so does that of a group, by its path, from GitLab's own disk", NEEDS_APT, (t) =>
  aDistribution(t, undefined, { of: 'group', by: 'path', gitlab: { stored: ['pool'] } }),
);
test('an index that vanished while it was read ends in a new look', (t) => anIndexVanishes(t));
test('a burst of uploads is a few generations', (t) => aBurst(t, nudge));

test('it would be seen', NEEDS_APT, async (t) => {
  await t.test('if 204 were taken for a file that is not there', (t) => {
    const absent: PlantedArchive = (real) =>
      wrapped(real, {
        open: async (path, sizeMax, signal) =>
          sizeMax === 0 ? null : real.open(path, sizeMax, signal),
      });
    return assert.rejects(aDistribution(t, absent), /INDEX_MISSING/);
  });
  await t.test('if an index were asked for by its name first', (t) => {
    const byName: PlantedArchive = (real) =>
      wrapped(real, {
        open: async (path, sizeMax, signal) =>
          isByHash(path) && sizeMax > 0 ? null : real.open(path, sizeMax, signal),
      });
    return assert.rejects(aDistribution(t, byName), /INDEX_MISMATCH|ARCHIVE_UNREACHABLE/);
  });
  await t.test('if the look did not ask again after an index vanished', (t) => {
    const believing: PlantedArchive = (real) => {
      let first: ReturnType<Archive['fetchReleaseSet']> | undefined;
      return wrapped(real, {
        fetchReleaseSet: (...asked) => (first ??= real.fetchReleaseSet(...asked)),
      });
    };
    return assert.rejects(anIndexVanishes(t, believing), /ARCHIVE_UNREACHABLE/);
  });
  await t.test('if each upload were a look of its own', (t) =>
    assert.rejects(
      aBurst(t, (world) => world.look()),
      /ten uploads are/,
    ),
  );
});
