/** An apply beside captures and lanes at work, each on a connection of its own. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import { sql } from 'kysely';

import { applyConfiguration } from '../../../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database, type Tx } from '../../../src/database/orm.ts';
import { aConfiguration } from '../../support/configuration.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { migratedDatabase } from '../../support/servers.ts';

const GIVEN = aConfiguration({ sites: ['fra', 'sin'], distributions: ['bookworm'] });
/** Everything that an apply may change, all at once. */
const CHANGED = aConfiguration({
  archive: { mount: 'other' },
  sites: { fra: { container: 'd' }, sin: { container: 'd' } },
  distributions: { bookworm: { suite: 'trixie', sites: ['fra'] } },
});

async function applied(t: TestContext): Promise<{ db: Database; operator: Database }> {
  const url = await migratedDatabase();
  const [db, operator] = [await connectDatabase(url), await connectDatabase(url)];
  t.after(() => Promise.all([db.close(), operator.close()]));
  await applyConfiguration(db, GIVEN, false);
  return { db, operator };
}

const isWaiting = async (db: Database): Promise<boolean> =>
  (
    await sql`
      select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(db.read.kysely)
  ).rows.length > 0;

/**
 * Applies while another transaction holds the first of its locks, which takes the rest of them
 * then; neither may be ended by the server.
 */
async function applyBeside(
  { db, operator }: { db: Database; operator: Database },
  first: Work,
  rest: Work,
): Promise<void> {
  const { applying } = await db.transaction(async (tx) => {
    await first(tx);
    const begun = applyConfiguration(operator, CHANGED, false);
    begun.catch(() => undefined); // seen below
    for (const deadline = Date.now() + 10_000; !(await isWaiting(db));)
      assert.ok(Date.now() < deadline, 'the apply waits');
    await rest(tx);
    return { applying: begun };
  });
  await applying;
}
type Work = (tx: Tx) => Promise<unknown>;

const places = async ({ read }: Database) =>
  (
    await sql<{ suite: string; sites: number }>`
      select d.suite, (select count(*) from distribution_replications) as sites
      from debian_distributions d`.execute(read.kysely)
  ).rows;

test('an apply waits for a capture that goes on to its archive, and both succeed', async (t) => {
  const databases = await applied(t);

  await applyBeside(
    databases,
    ({ kysely }) => sql`select from debian_distributions for no key update`.execute(kysely),
    ({ kysely }) =>
      sql`insert into paths (archive_id, path) select id, 'pool/a.deb' from archives`.execute(
        kysely,
      ),
  );

  assert.deepEqual(await places(databases.db), [{ suite: 'trixie', sites: 1 }]);
});

test('an apply waits for a lane that records an incident of the site that leaves', async (t) => {
  const databases = await applied(t);

  await applyBeside(
    databases,
    ({ kysely }) =>
      sql`
      select from distribution_replications
      where site_id = (select id from replication_sites where name = 'sin')
      for no key update`.execute(kysely),
    ({ kysely }) =>
      sql`
      insert into incidents (distribution_id, site_id, code, message)
      select d.id, s.id, 'BLOB_CORRUPT', ''
      from debian_distributions d, replication_sites s
      where s.name = 'sin'`.execute(kysely),
  );

  assert.deepEqual(await places(databases.db), [{ suite: 'trixie', sites: 1 }]);
});

/** Changes with every version of a row that is written, whatever is written to it. */
const versions = async ({ read }: Database) =>
  (
    await sql<{ version: string }>`
      select name || ' ' || xmin as version from archives
      union all select name || ' ' || xmin from replication_sites
      union all select name || ' ' || xmin from debian_distributions
      union all select site_id || ' ' || xmin from distribution_replications
      order by version`.execute(read.kysely)
  ).rows;

test('an apply without a change writes nothing; a change asks the archive anew', async (t) => {
  const { db } = await applied(t);
  await sql`
    update debian_distributions
    set in_release_etag = '"1"', in_release_last_modified = 'now',
      next_look_at = now() + interval '1 day',
      tuning = '{"gatherMs": 5}', failure = '{"code": "ARCHIVE_SLOW", "message": ""}'`.execute(
    db.read.kysely,
  );
  const looks = async () =>
    (
      await sql<object>`
        select in_release_etag is null and in_release_last_modified is null as anew,
          next_look_at <= now() as now, rev
        from debian_distributions`.execute(db.read.kysely)
    ).rows[0] as { anew: boolean; now: boolean; rev: number };
  const [before, look] = [await versions(db), await looks()];

  const same = await applyConfiguration(db, GIVEN, false);
  const after = [await versions(db), await looks()];
  const other = aConfiguration({
    sites: ['fra', 'sin'],
    distributions: { bookworm: { suite: 'trixie' } },
  });
  const changed = await applyConfiguration(db, other, false);
  const anew = await looks();

  const whats = (changes: typeof same) => changes.map(({ what, name }) => `${what} ${name}`);
  assert.deepEqual(
    whats(same),
    ['debian', 'fra', 'sin', 'bookworm'].map((name) => `unchanged ${name}`),
  );
  assert.deepEqual(after, [before, look]);
  assert.deepEqual(whats(changed).at(-1), 'changed bookworm');
  assert.deepEqual([look.anew, look.now, anew.anew, anew.now], [false, false, true, true]);
  assert.ok(anew.rev > look.rev);
});

test('what apply does not configure of a distribution has the default of its column', async (t) => {
  const { db } = await applied(t);
  await sql`
    insert into debian_distributions (name, archive_id, suite)
    select 'inserted', id, '' from archives`.execute(db.read.kysely);

  const { rows } = await sql<Record<string, unknown>>`
    select tuning, latest_generation, looks, failure_count, failure, looked_at,
      replication_status, in_release_etag
    from debian_distributions
    order by id`.execute(db.read.kysely);

  assert.deepEqual(rows[0], rows[1]);
});

test('a place that another site has is refused, however it is written', async (t) => {
  const { db } = await applied(t);
  const second = (site: object) =>
    applyConfiguration(db, aConfiguration({ sites: { ams: site }, distributions: {} }), false);

  for (const site of [
    { account_url: 'https://127.0.0.1:1/fra' },
    { account_url: 'http://127.1:1/fra/' },
    { account_url: 'http://127.0.0.1:1/fra', prefix: 'mirrors' },
    { account_url: 'http://127.0.0.1:1', container: 'fra', prefix: 'c/mirrors' },
  ])
    await assert.rejects(
      second(site),
      refusesWith('CONFIG_INVALID', { found: /place of site ams: \S+ belongs to fra / }),
    );
  await second({ account_url: 'http://127.0.0.1:1/ams' });
});

test('a place in use may be written another way, and become no other', async (t) => {
  const { db } = await applied(t);
  await sql`
    with of_path as (
      insert into paths (archive_id, path)
      select id, 'pool/a.deb' from archives
      returning id
    ),
    of_blob as (
      insert into blobs (path_id, sha256, size)
      select id, decode(repeat('ab', 32), 'hex'), 1 from of_path
      returning id, path_id
    )
    insert into blob_registry (site_id, path_id, blob_id)
    select s.id, of_blob.path_id, of_blob.id
    from of_blob, replication_sites s
    where s.name = 'fra'`.execute(db.read.kysely);
  const moved = (site: object) =>
    applyConfiguration(db, aConfiguration({ sites: { fra: site }, distributions: {} }), false);

  await moved({ account_url: 'https://127.0.0.1:1/fra' });
  await assert.rejects(
    moved({ account_url: 'https://127.0.0.1:1/fra', prefix: 'deeper' }),
    refusesWith('CONFIG_INVALID', { found: /in use and cannot become/ }),
  );
});
