/**
 * An archive that does wrong, rightly signed or not, is refused with a code that says what, in
 * bounded time and memory, and sites and catalog are as they were. The cases are in
 * test/support/hostile/.
 */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import test, { type TestContext } from 'node:test';

import { sql } from 'kysely';

import type { Deps } from '../../activities/deps.ts';
import type { Activities } from '../../activities/index.ts';
import { createHttpArchive } from '../../src/archive/http-archive.ts';
import { run } from '../../src/database/sql.ts';
import { sha256Of, type Sha256 } from '../../src/domain/sha256.ts';
import { createSigningKey } from '../../src/made-archive/signing-key.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import { HostileArchive, type Hand } from '../support/hostile/hostile-archive.ts';
import type { HostileCase } from '../support/hostile/hostile-case.ts';
import { HOSTILE_DEEDS, SLOW_IS, SMALL_INDICES } from '../support/hostile/hostile-deeds.ts';
import { HOSTILE_RELEASES } from '../support/hostile/hostile-releases.ts';
import { peakBytes, runCases, type Verdict } from '../support/hostile/run-cases.ts';
import { assertWhole } from '../support/whole.ts';
import { aPackage, aWorld, type Planted, type World } from '../support/world.ts';

const CASES: readonly HostileCase[] = [...HOSTILE_RELEASES, ...HOSTILE_DEEDS];
/** Of the whole process, worker, archive and bombs included, above what one good release took. */
const GROWTH_BYTES = 512 * 1024 * 1024;
/** On a machine that does other things, too; idle, most take 0.1 s and none more than 3. */
const CASE_MS = 30_000;

interface Stage {
  readonly world: World;
  readonly archive: HostileArchive;
  readonly hand: Hand;
  readonly askedElsewhere: () => number;
}

/**
 * A distribution that both sites serve, from an archive that is hostile from now on. No look comes
 * by itself.
 */
async function aStage(
  t: TestContext,
  wrong: { activities?: Planted; store?: (real: SiteStore) => SiteStore } = {},
): Promise<Stage> {
  let askedElsewhere = 0;
  const elsewhere = createServer((_, response) => {
    askedElsewhere += 1;
    response.end('elsewhere');
  }).listen(0, '127.0.0.1');
  t.after(() => elsewhere.close());
  const archives = new Map<string, ReturnType<typeof createHttpArchive>>();
  t.after(() => Promise.all([...archives.values()].map((one) => one.close())));
  const deps = ({ spool, ...real }: Deps): Deps => ({
    ...real,
    // it compares digests, too: a site that does not would not be seen
    ...(spool === undefined || wrong.store !== undefined ? {} : { spool }),
    indexLimits: SMALL_INDICES,
    archiveOf: async (record) => {
      if (record.url.startsWith('file:')) return real.archiveOf(record);
      const known = archives.get(record.url) ?? createHttpArchive({ ...record, limits: SLOW_IS });
      archives.set(record.url, known);
      return known;
    },
    siteOf: async (name) => {
      const site = await real.siteOf(name);
      return { ...site, store: wrong.store?.(site.store) ?? site.store };
    },
  });
  const world = await aWorld(t, {
    worker: 'none',
    archive: { releaseSet: 'inline' },
    deps,
    activities: wrong.activities,
  });
  const { date } = await world.release([aPackage('hello', '1.0'), aPackage('odd+name~1', '1.0')]);

  const archive = await HostileArchive.start(world.archiveFolder, join(world.folder, 'mirror'));
  t.after(() => archive.close());
  const outside = join(world.folder, 'outside/Packages');
  await mkdir(join(world.folder, 'outside'));
  await writeFile(outside, 'a secret');
  const patient = { gatherMs: 1, drainMs: 5_000, backoffInitialMs: 600_000, backoffCapMs: 600_000 };
  await world.tune({ waits: patient, archiveUrl: archive.url });
  await world.startWorker();
  await world.update();

  const hand: Hand = {
    key: world.key,
    stranger: await createSigningKey('a stranger'),
    inRelease: String(await world.releasedFile('dists/bookworm/InRelease')),
    date,
    elsewhere: `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`,
    outside,
  };
  return { world, archive, hand, askedElsewhere: () => askedElsewhere };
}

test('every hostile archive is refused with its own code, and changes nothing', async (t) => {
  const stage = await aStage(t);
  const { world, archive } = stage;
  const peakBefore = peakBytes();
  const verdicts: Verdict[] = [];

  for await (const verdict of runCases(stage, CASES)) {
    verdicts.push(verdict);
    t.diagnostic(verdict.line);
  }

  const growth = peakBytes() - peakBefore;
  const count = (of: (verdict: Verdict) => boolean): number => verdicts.filter(of).length;
  const accepted = count((verdict) => verdict.accepted);
  const changed = count((verdict) => verdict.changed);
  t.diagnostic(
    `${verdicts.length - accepted} refused, ${accepted} accepted, ${changed} changed;` +
      ` memory grew by ${Math.round(growth / 1e6)} MB`,
  );
  assert.deepEqual(
    verdicts.flatMap(({ hostile, faults }) =>
      faults.map((fault) => `${hostile.group}: ${hostile.name}: ${fault}`),
    ),
    [],
  );
  assert.deepEqual([verdicts.length, accepted, changed], [CASES.length, 0, 0]);
  assert.ok(growth < GROWTH_BYTES, `memory grew by ${growth} bytes`);
  assert.deepEqual(
    verdicts.filter(({ ms }) => ms > CASE_MS).map(({ line }) => line),
    [],
  );
  assert.equal(stage.askedElsewhere(), 0, 'no worker was led to another origin');

  await archive.lay({}, 'http');
  await world.tune({ archiveUrl: archive.url });
  await world.release([aPackage('hello', '2.0')]);
  await world.look();
  // no lane goes on by itself here, so that no case disturbs the next
  for (const site of world.sites.keys()) await world.command('retry', site);
  await world.update();
  assert.equal((await world.status()).status, 'success', 'a good release heals it');
  for (const site of world.sites.values()) {
    await assertWhole(world, site.name);
    const names = [...(await site.contents()).keys()];
    assert.deepEqual(
      new Set(
        names
          .filter((name) => !name.startsWith('debian/'))
          .map((name) => name.replace(/\/[0-9a-f]{64}\.json$/, '/DIGEST.json')),
      ),
      new Set([
        '.debgeo/heads/debian/bookworm.json',
        '.debgeo/releases/debian/bookworm/DIGEST.json',
        '.debgeo/site.json',
      ]),
      'nothing of an archive lies outside of the mount',
    );
  }
});

/** The first case of each group that ends at the capture, and one that ends at the sites. */
const firstOfEach = CASES.filter(
  ({ group, captured }, position) =>
    captured === undefined && CASES.findIndex((other) => other.group === group) === position,
);
const flipped = CASES.filter(({ name }) => name === 'a pool file is one bit flipped');

/** Compares no digest when it writes, and reads back what it was told. */
function trusting(real: SiteStore): SiteStore {
  const told = new Map<string, { size: number; sha256: Sha256 }>();
  return {
    site: real.site,
    open: (path, signal) => real.open(path, signal),
    remove: (path, etag, signal) => real.remove(path, etag, signal),
    put: async (path, content, expected, signal) => {
      const bytes = Buffer.concat(await Array.fromAsync(content.bytes));
      told.set(path, { size: content.size, sha256: content.sha256 });
      const asIs = {
        ...content,
        size: bytes.length,
        sha256: sha256Of(bytes),
        bytes: Readable.from([bytes]),
      };
      return real.put(path, asIs, expected, signal);
    },
    checksum: async (path, signal, etag) => {
      const found = await real.checksum(path, signal, etag);
      return found === null || found === 'changed' ? found : { ...found, ...told.get(path) };
    },
  };
}

test('it would be seen if a hostile archive were believed, left a row or no record', async (t) => {
  let fault: 'believed' | 'leaves a row' | 'no record' | null = null;
  const activities = (real: Activities, world: World): Activities => ({
    ...real,
    captureSnapshot: async (input) => {
      try {
        return await real.captureSnapshot(input);
      } catch (error) {
        if (fault !== 'believed') throw error;
        const inRelease = world.site('sin').blob('debian/dists/bookworm/InRelease');
        await inRelease.uploadData(Buffer.from('as it came'));
        const roster = await real.loadRoster(input);
        return { outcome: 'captured', generation: roster.generation, roster };
      }
    },
    recordCaptureFailure: async (input) => {
      if (fault === 'no record') return real.loadRoster(input);
      if (fault === 'leaves a row')
        await run(
          world.database.read,
          sql`
            insert into paths (archive_id, path)
            select id, ${`pool/${input.report.code}`}
            from archives`,
        );
      return real.recordCaptureFailure(input);
    },
  });
  const stores = new Map<string, SiteStore>();
  const store = (real: SiteStore): SiteStore => {
    const known = stores.get(real.site) ?? trusting(real);
    stores.set(real.site, known);
    return known;
  };
  const stage = await aStage(t, { activities, store });
  const [one] = firstOfEach;

  fault = 'leaves a row';
  for await (const { accepted, changed } of runCases(stage, [one!]))
    assert.deepEqual([accepted, changed], [false, true]);
  fault = 'no record';
  for await (const { faults } of runCases(stage, [one!]))
    assert.deepEqual(faults, ['no incident on record']);
  // The sites take a pool file without comparing its digest.
  for await (const { accepted, changed } of runCases(stage, flipped))
    assert.deepEqual([accepted, changed], [true, true]);
  fault = 'believed';
  const believed = await Array.fromAsync(runCases(stage, firstOfEach));
  assert.equal(believed.length, 9);
  assert.deepEqual(
    believed.filter(({ accepted, changed }) => !accepted || !changed).map(({ line }) => line),
    [],
  );
});
