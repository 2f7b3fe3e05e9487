/** What an apply changed stays unseen until the workflow was given a roster that has it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import {
  applyConfiguration,
  type AppliedConfiguration,
} from '../../../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database } from '../../../src/database/orm.ts';
import { recordCaptureFailure, recordLook } from '../../../src/database/replications/looks.ts';
import { loadRoster } from '../../../src/database/replications/roster.ts';
import { listWantedDistributions } from '../../../src/database/views/work.ts';
import { aConfiguration } from '../../support/configuration.ts';
import { migratedDatabase } from '../../support/servers.ts';

/** `bookworm` and `trixie` at fra and sin; `sid` only at fra. */
const CONFIGURATION = aConfiguration({
  sites: ['fra', 'sin'],
  distributions: { bookworm: {}, trixie: {}, sid: { sites: ['fra'] } },
});
const { archives, sites, distributions } = CONFIGURATION;

const NONE: AppliedConfiguration = { archives: {}, sites: {}, distributions: {} };

async function applied(t: TestContext): Promise<Database> {
  const db = await connectDatabase(await migratedDatabase());
  t.after(() => db.close());
  await applyConfiguration(db, CONFIGURATION, false);
  return db;
}

const unseen = async (db: Database): Promise<string[]> =>
  (await listWantedDistributions(db)).filter(({ isUnseen }) => isUnseen).map(({ name }) => name);

async function seeAll(db: Database): Promise<void> {
  for (const name of await unseen(db)) await loadRoster(db, name);
}

test('what was applied is unseen until its roster was given, however that happens', async (t) => {
  const db = await applied(t);
  assert.deepEqual(await unseen(db), ['bookworm', 'sid', 'trixie']);

  await loadRoster(db, 'bookworm');
  const validator = { etag: null, lastModified: null };
  await recordLook(db, 'trixie', { validator, unconditional: true, signatures: [] });
  await recordCaptureFailure(db, 'sid', { code: 'ARCHIVE_UNREACHABLE', message: 'x' });
  assert.deepEqual(await unseen(db), []);

  await applyConfiguration(db, CONFIGURATION, false);
  assert.deepEqual(await unseen(db), [], 'nothing changed');
  await loadRoster(db, 'bookworm');
  assert.deepEqual(await unseen(db), []);
});

test('a site that changes alone is new to the distributions that it replicates', async (t) => {
  const db = await applied(t);
  await seeAll(db);

  const moved = { ...sites['sin']!, worker_group: 'asia' };
  await applyConfiguration(db, { ...NONE, sites: { sin: moved } }, false);

  assert.deepEqual(await unseen(db), ['bookworm', 'trixie']);
  const { replications } = await loadRoster(db, 'trixie');
  assert.deepEqual(
    replications.map(({ queue }) => queue),
    ['debgeo-site-fra', 'debgeo-site-asia'],
  );
  await seeAll(db);
  await applyConfiguration(db, { ...NONE, sites: { sin: { ...moved, state: 'absent' } } }, false);
  assert.deepEqual(await unseen(db), ['bookworm', 'trixie']);
});

test('a dry run changes nothing; an archive and a removal are seen', async (t) => {
  const db = await applied(t);
  await seeAll(db);
  const rekeyed = { debian: { ...archives['debian']!, keyring: new Uint8Array([2]) } };

  await applyConfiguration(db, { ...NONE, archives: rekeyed }, true);
  assert.deepEqual(await unseen(db), []);
  await applyConfiguration(db, { ...NONE, archives: rekeyed }, false);
  assert.deepEqual(await unseen(db), ['bookworm', 'sid', 'trixie']);
  await seeAll(db);

  const sid = { ...distributions['sid']!, state: 'absent' as const };
  await applyConfiguration(db, { ...CONFIGURATION, distributions: { sid } }, false);
  assert.ok((await unseen(db)).includes('sid'));
  await seeAll(db);
  const names = (await listWantedDistributions(db)).map(({ name }) => name);
  assert.deepEqual(names, ['bookworm', 'trixie'], 'a workflow that saw its removal is not wanted');
});
