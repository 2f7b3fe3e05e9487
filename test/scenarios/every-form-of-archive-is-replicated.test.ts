/**
 * What I1 says of each form of archive, as apt sees it: nothing of a publication where it is
 * untorn, a short window where it is not. `npm run soak:forms` publishes 100 times per form; what
 * it prints is what README says of windowed archives.
 */
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';

import type { Activities } from '../../activities/index.ts';
import { debgeo } from '../support/debgeo.ts';
import { NEEDS_APT } from '../support/needs.ts';
import { readAllTheTime } from '../support/readers.ts';
import { aPackage, aWorld, type Planted, type World, type WorldOptions } from '../support/world.ts';

const PUBLISHES = Number(process.env['DEBGEO_FORM_PUBLISHES'] ?? '6');

/**
 * What apt says when the archive changed while it read; what it gave up because of that has no
 * reason of its own.
 */
const MID_SYNC = [
  /Mirror sync in progress\?/,
  /Hash Sum mismatch/,
  /The following signatures were invalid: BADSIG/,
];
const BROKEN_OFF = [
  /^E: Failed to fetch \S+ *$/,
  /^E: Some index files failed to download/,
  /^E: The repository \S+ \S+ Release' is not signed\.$/,
];

function isMidSync(failure: string): boolean {
  const errors = failure.split('\n').filter((line) => /^E: |^W: GPG error: /.test(line));
  const reasons = errors.filter((line) => !BROKEN_OFF.some((pattern) => pattern.test(line)));
  return (
    reasons.length > 0 && reasons.every((line) => MID_SYNC.some((pattern) => pattern.test(line)))
  );
}

async function printedStatus(world: World): Promise<string> {
  const { exitCode, stdout, stderr } = await debgeo(world, 'status');
  assert.equal(exitCode, 0, stderr);
  return stdout;
}

type Form = NonNullable<WorldOptions['archive']>;

async function promise(
  t: TestContext,
  archive: Form,
  kind: 'untorn' | 'windowed',
  publishes = PUBLISHES,
  planted?: Planted,
): Promise<void> {
  const world = await aWorld(t, { archive, activities: planted });
  const kept = Array.from({ length: 4 }, (_, index) => aPackage(`kept-${index}`, '1.0'));
  await world.release([...kept, aPackage('changing', '1.0')]);
  await world.update();
  const readers = await readAllTheTime(world);

  for (let publish = 2; publish <= publishes; publish++) {
    await world.release([...kept, aPackage('changing', `${publish}.0`)]);
    assert.equal(await world.update(), publish);
  }

  const { failures, cycles, overlaps } = await readers.stop();
  const { sites } = await world.status();
  const windows = sites.map(({ windowMs }) => windowMs);
  const fresh = failures.filter((failure) => !failure.startsWith('update with kept lists')).length;
  t.diagnostic(
    `${kind}: ${publishes} publishes, ${failures.length} failures (${fresh} with fresh lists)` +
      ` in ${cycles.length} cycles, ${overlaps} overlapped; last windows ${windows.join(', ')} ms`,
  );
  assert.deepEqual(
    sites.map((site) => [site.class, site.served]),
    [...world.sites].map(() => [kind, publishes]),
  );
  assert.ok(windows.every((ms) => ms !== null && ms >= 0));
  if (kind === 'windowed')
    for (const ms of windows)
      assert.match(await printedStatus(world), new RegExp(`windowed \\(last ${ms} ms\\)`));
  assert.deepEqual(
    kind === 'untorn' ? failures : failures.filter((failure) => !isMidSync(failure)),
    [],
  );
  for (const site of world.sites.values())
    assert.equal(await site.aptSees('changing', world.suite), `${publishes}.0`);
}

const limits = { ...NEEDS_APT, timeout: 90_000 + PUBLISHES * 15_000 };
test('by-hash and InRelease: untorn, apt never fails', limits, (t) => promise(t, {}, 'untorn'));
test('without by-hash: windowed, apt fails only as it does while a mirror changes', limits, (t) =>
  promise(t, { acquireByHash: false, releaseSet: 'both' }, 'windowed'),
);
test(
  'Release and Release.gpg alone: windowed, apt fails only as it does while a mirror changes',
  limits,
  (t) => promise(t, { releaseSet: 'detached' }, 'windowed'),
);

test(
  'it would be seen of the untorn form if by-hash files went when the next release comes',
  limits,
  (t) => {
    const tidy = (real: Activities, world: World): Activities => ({
      ...real,
      publishSnapshot: async (input) => {
        const site = world.site(input.site);
        await site.proxy.setRules([
          {
            method: 'PUT',
            target: 'dists/bookworm/InRelease',
            fault: { kind: 'delay', ms: 1_500 },
          },
        ]);
        const release = String(await world.releasedFile('dists/bookworm/Release'));
        for (const path of (await site.contents()).keys())
          if (path.includes('/by-hash/') && !release.includes(path.replace(/^.*\//, '')))
            await site.blob(path).delete();
        return real.publishSnapshot(input);
      },
    });
    return assert.rejects(
      promise(t, {}, 'untorn', 3, tidy),
      /exit code 100/,
      'apt itself has seen it',
    );
  },
);
