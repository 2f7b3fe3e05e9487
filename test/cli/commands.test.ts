/**
 * The commands as an operator runs them: processes of their own, told by their environment where
 * the servers of a world are.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { sql } from 'kysely';
import { stringify } from 'yaml';

import { connectDatabase } from '../../src/database/orm.ts';
import type { DistributionStatus } from '../../src/database/views/status.ts';
import { createSigningKey } from '../../src/made-archive/signing-key.ts';
import { startNode } from '../support/child.ts';
import { debgeo, environmentOf, MAIN, runDebgeo } from '../support/debgeo.ts';
import { freshDatabase, servers } from '../support/servers.ts';
import { aPackage, aWorld, type World } from '../support/world.ts';

/** No server listens on it. */
const NO_SERVER = '127.0.0.1:1';
const DONE = 0;
const FAILED = 1;
const USAGE = 2;
const REFUSED = 3;
const UNREACHABLE = 4;
const CANCELLED = 5;

/** The code that an error begins with, and the names of its parts. */
const partsOf = (text: string): { code: string | undefined; parts: string[] } => ({
  code: /\b([A-Z]+_[A-Z_]+|CANCELLED|PAUSED): /.exec(text)?.[1],
  parts: [...text.matchAll(/^ +(expected|found|state|do): /gm)].map((match) => match[1]!),
});

const statusOf = async (world: World): Promise<DistributionStatus> => {
  const { exitCode, stdout, stderr } = await debgeo(world, `status ${world.suite} --json`);
  assert.equal(exitCode, DONE, stderr);
  return (JSON.parse(stdout) as DistributionStatus[])[0]!;
};

type Entry = Record<string, unknown>;
interface File {
  archives: Record<string, Entry>;
  sites: Record<string, Entry>;
  distributions: Record<string, Entry>;
}

/** The file that says what the world was made with. */
const configurationOf = async (world: World): Promise<File> => {
  await writeFile(join(world.folder, 'keyring.gpg'), world.key.publicBinary);
  const { rows } = await sql<{
    name: string;
    account_url: string;
    container: string;
    credential: Entry;
  }>`
    select name, account_url, container, credential
    from replication_sites
    order by id`.execute(world.database.read.kysely);
  return {
    archives: {
      debian: { url: world.archiveServer.url, keyring: 'keyring.gpg', private_network: true },
    },
    sites: Object.fromEntries(rows.map(({ name, ...site }) => [name, site])),
    distributions: {
      [world.suite]: {
        archive: 'debian',
        suite: world.suite,
        sites: rows.map((row) => row.name),
        primary: 'fra',
        poll: '1h',
      },
    },
  };
};

const fileOf = async (world: World, change: (file: File) => void = () => {}): Promise<string> => {
  const file = await configurationOf(world);
  change(file);
  const path = join(world.folder, 'debgeo.yaml');
  await writeFile(path, stringify(file));
  return path;
};

const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(50))
    if (await holds()) return;
  assert.fail(`not in time: ${what}`);
};

test('with a worker', async (t) => {
  const world = await aWorld(t);
  await world.release([aPackage('hello', '1.0')]);

  await t.test(
    'update --wait tells how it goes in lines, and ends when every site serves what was found',
    async () => {
      const result = await debgeo(world, 'update bookworm --wait');

      assert.equal(result.exitCode, DONE, result.stderr);
      assert.equal(result.stdout, '');
      assert.ok(!result.stderr.includes('\u001b'), 'no terminal, no control sequences');
      for (const site of ['fra', 'sin'])
        assert.match(result.stderr, new RegExp(`^${site} +serves generation 1, verified$`, 'm'));
    },
  );

  await t.test('update --wait --json prints the status and nothing else on stdout', async () => {
    const result = await debgeo(world, 'update bookworm --wait --json');

    assert.equal(result.exitCode, DONE, result.stderr);
    assert.equal((JSON.parse(result.stdout) as DistributionStatus).status, 'success');
  });

  await t.test('status says per site what is served; as text and as JSON', async () => {
    const text = await debgeo(world, 'status');
    const json = await statusOf(world);

    assert.equal(text.exitCode, DONE, text.stderr);
    for (const line of text.stdout.split('\n'))
      assert.ok(line.length < 120 && line === line.trimEnd(), line);
    assert.match(text.stdout, /^ +fra\* +serves 1 +synced +(\d+) of \1 verified/m);
    assert.deepEqual(
      json.sites.map(({ site, served, verified, members }) => [
        site,
        served,
        verified > 0 && verified === members,
      ]),
      [
        ['fra', 1, true],
        ['sin', 1, true],
      ],
    );
  });

  await t.test('a command whose reader has gone ends in silence', async () => {
    const child = startNode(MAIN, ['doctor'], environmentOf(world));
    child.stdout.once('data', () => child.stdout.destroy());
    const [stderr] = await Promise.all([child.stderr.toArray(), once(child, 'close')]);

    assert.equal(stderr.join(''), '');
  });

  await t.test('verify --wait ends when every site has read back', async () => {
    const before = await statusOf(world);

    const result = await debgeo(world, 'verify bookworm --wait');

    assert.equal(result.exitCode, DONE, result.stderr);
    const after = await statusOf(world);
    for (const [index, site] of after.sites.entries())
      assert.ok(site.verifiedAt! > before.sites[index]!.verifiedAt!);
  });

  await t.test('a site that is cancelled ends update --wait with 5; retry goes on', async () => {
    const { proxy } = world.site('sin');
    await proxy.setRules([{ fault: { kind: 'hang' }, method: 'PUT' }]);
    await world.release([aPackage('hello', '2.0')]);
    const updating = debgeo(world, 'update bookworm --wait');
    await until(
      'sin works',
      async () =>
        (await world.siteStatus('sin')).state === 'started' &&
        (await world.siteStatus('fra')).served === 2,
    );

    const cancelled = await debgeo(world, 'cancel bookworm --site sin');
    const updated = await updating;

    assert.equal(cancelled.exitCode, DONE, cancelled.stderr);
    assert.equal(updated.exitCode, CANCELLED, updated.stderr);
    assert.equal(partsOf(updated.stderr).code, 'CANCELLED');
    assert.equal((await world.siteStatus('sin')).state, 'cancelled');

    await proxy.setRules([]);
    assert.equal((await debgeo(world, 'retry bookworm --site sin')).exitCode, DONE);
    await world.until(({ status }) => status === 'success', 'sin goes on');
  });

  await t.test('a paused site ends update --wait with 5; resume goes on', async () => {
    assert.equal((await debgeo(world, 'pause bookworm --site sin')).exitCode, DONE);
    await world.until(({ sites }) => sites.some((site) => site.paused), 'paused');
    await world.release([aPackage('hello', '3.0')]);

    const updated = await debgeo(world, 'update bookworm --wait');

    assert.equal(updated.exitCode, CANCELLED, updated.stderr);
    assert.equal(partsOf(updated.stderr).code, 'PAUSED');
    assert.equal((await debgeo(world, 'resume bookworm')).exitCode, DONE);
    await world.until(({ status }) => status === 'success', 'sin goes on');
  });

  await t.test(
    'a refused release ends with 3 and says what is expected, found, true now, and to do',
    async () => {
      await world
        .archive()
        .release([aPackage('trojan', '1.0')], { key: await createSigningKey('another holder') });

      const result = await debgeo(world, 'update bookworm --wait');

      assert.equal(result.exitCode, REFUSED, result.stderr);
      assert.deepEqual(partsOf(result.stderr), {
        code: 'SIGNATURE_UNKNOWN_KEY',
        parts: ['expected', 'found', 'state', 'do'],
      });
      assert.match(result.stderr, /fra generation 3, sin generation 3/);
      assert.match((await debgeo(world, 'status')).stdout, /SIGNATURE_UNKNOWN_KEY/);
      await world.release([aPackage('hello', '4.0')]);
      assert.equal((await debgeo(world, 'update bookworm --wait')).exitCode, DONE);
    },
  );

  await t.test('names that do not exist are usage errors', async () => {
    for (const command of [
      'update nope',
      'status nope',
      'verify nope',
      'retry bookworm --site nope',
    ]) {
      const result = await debgeo(world, command);

      assert.equal(result.exitCode, USAGE, command);
      assert.equal(partsOf(result.stderr).code, 'NAME_UNKNOWN');
      assert.equal(result.stdout, '');
    }
  });

  await t.test(
    'apply says what is added, unchanged, changed and removed; a dry run changes nothing',
    async () => {
      const more = (file: File): void => {
        file.distributions['trixie'] = { ...file.distributions['bookworm'], suite: 'trixie' };
      };
      const removed = (file: File): void => {
        more(file);
        file.distributions['trixie']!['state'] = 'absent';
        file.distributions['bookworm']!['poll'] = '2h';
      };
      const whats = async (change?: (file: File) => void, option = ''): Promise<string[]> => {
        const result = await debgeo(world, `apply ${await fileOf(world, change)}${option}`);
        assert.equal(result.exitCode, DONE, result.stderr);
        const lines = result.stdout.split('\n').filter((line) => line.includes('distribution '));
        return lines.map((line) => line.replace(/ +distribution /, ' '));
      };

      assert.deepEqual(await whats(), ['unchanged bookworm']);
      assert.deepEqual(await whats(more, ' --dry-run'), ['unchanged bookworm', 'added trixie']);
      assert.deepEqual(await whats(more), ['unchanged bookworm', 'added trixie']);
      assert.deepEqual(await whats(removed), ['changed bookworm', 'removed trixie']);
    },
  );

  await t.test(
    'apply refuses with every change at once that would lose sight of what is at the sites',
    async () => {
      const path = await fileOf(world, (file) => {
        file.archives['debian']!['mount'] = 'elsewhere';
        file.sites['fra']!['container'] = 'elsewhere';
        file.sites['other'] = { ...file.sites['sin'] };
        delete file.sites['sin'];
        file.distributions['bookworm'] = {
          ...file.distributions['bookworm'],
          suite: 'sid',
          sites: ['fra'],
        };
      });

      const result = await debgeo(world, `apply ${path}`);

      assert.equal(result.exitCode, USAGE, result.stderr);
      assert.equal(partsOf(result.stderr).code, 'CONFIG_INVALID');
      for (const what of ['archive debian', 'site fra', 'site other', 'distribution bookworm'])
        assert.match(result.stderr, new RegExp(what));
      const after = await debgeo(world, `apply ${await fileOf(world)} --dry-run`);
      assert.deepEqual(after.stdout.match(/^unchanged (archive|site) \w+/gm), [
        'unchanged archive debian',
        'unchanged site fra',
        'unchanged site sin',
      ]);
    },
  );

  await t.test('apply refuses a file with every fault, its line and column', async () => {
    const path = join(world.folder, 'wrong.yaml');
    await writeFile(
      path,
      'archives:\n  debian: { url: "ftp://x", keyring: k }\nsites: {}\n' +
        'distributions:\n  x: { archive: y, suite: x, sites: [z] }\n',
    );

    const result = await debgeo(world, `apply ${path}`);

    assert.equal(result.exitCode, USAGE, result.stderr);
    assert.deepEqual(
      [...result.stderr.matchAll(/wrong\.yaml:(\d+:\d+) /g)].map((match) => match[1]),
      ['2:13', '5:8', '5:38'],
    );
  });

  await t.test('doctor finds what is wrong and nothing else, and says what to do', async () => {
    const fine = await debgeo(world, 'doctor');
    // The server of tests forgets in a crash, to be fast; nothing else is wrong with it.
    const wrongAt = [
      ...fine.stdout.matchAll(/^wrong +([^:]+): [A-Z_]+(?:.|\n)*?expected: (.*)$/gm),
    ].map(([, what, expected]) => `${what} ${expected}`);
    assert.deepEqual(
      wrongAt,
      ['fsync', 'full_page_writes', 'synchronous_commit'].map(
        (name) =>
          `settings of the database alter system set ${name} = 'on'; select pg_reload_conf();`,
      ),
      fine.stdout + fine.stderr,
    );
    assert.equal(fine.exitCode, FAILED);
    for (const what of [
      'Temporal',
      'search attributes',
      'worker',
      'database',
      'tables',
      'patience of the database',
      'clock of the database',
      'clock of Temporal',
      'site fra',
      'storage of fra',
      'worker of fra',
      'archive of bookworm',
    ])
      assert.match(fine.stdout, new RegExp(`^ok +${what}: `, 'm'));
    assert.match(fine.stdout, /^note +storage of fra: lifecycle(.|\n)*? not seen /m);
    assert.match(fine.stdout, /^note +address of debian: may be a loopback or private one/m);

    await writeFile(
      join(world.folder, 'other.gpg'),
      (await createSigningKey('another holder')).publicBinary,
    );
    await debgeo(
      world,
      `apply ${await fileOf(world, (file) => (file.archives['debian']!['keyring'] = 'other.gpg'))}`,
    );
    await world.site('sin').proxy.refuse(true);
    const wrong = await debgeo(world, 'doctor');

    assert.equal(wrong.exitCode, FAILED);
    assert.match(wrong.stdout, /^ok +site fra/m);
    assert.match(wrong.stdout, /^wrong +site sin: SITE_UNREACHABLE(.|\n)*? do: /m);
    assert.match(wrong.stdout, /^wrong +archive of bookworm: SIGNATURE_UNKNOWN_KEY(.|\n)*? do: /m);

    await debgeo(
      world,
      `apply ${await fileOf(world, (file) => delete file.archives['debian']!['private_network'])}`,
    );
    const refused = await debgeo(world, 'doctor');

    const [, report] = /^wrong +archive of bookworm: (ADDRESS_REFUSED(?:.|\n)*? do: .*)$/m.exec(
      refused.stdout,
    )!;
    assert.match(report!, /found: +127\.0\.0\.1 \(loopback\)/);
    assert.match(report!, /do: .*`private_network: true`/);
    assert.doesNotMatch(refused.stdout, /address of debian/);
    await debgeo(world, `apply ${await fileOf(world)}`);
  });

  await t.test('an archive that is gone ends update with 4', async () => {
    await world.archiveServer.refuse();

    const result = await debgeo(world, 'update bookworm --wait');

    assert.equal(result.exitCode, UNREACHABLE, result.stderr);
    assert.equal(partsOf(result.stderr).code, 'ARCHIVE_UNREACHABLE');
  });
});

test('without a worker', { concurrency: true }, async (t) => {
  const world = await aWorld(t, { worker: 'none', sites: ['fra'] });

  await Promise.all([
    t.test('update ends with 4 within the time, and the look is queued', async () => {
      const from = performance.now();

      const result = await debgeo(world, 'update bookworm --wait');

      assert.equal(result.exitCode, UNREACHABLE, result.stderr);
      assert.match(result.stderr, /^NO_WORKER: queued; no worker polls debgeo$/m);
      assert.ok(performance.now() - from < 20_000);
    }),

    t.test('doctor says so', async () => {
      const result = await debgeo(world, 'doctor');

      assert.equal(result.exitCode, FAILED);
      assert.match(result.stdout, /^wrong +worker: NO_WORKER(.|\n)*? do: /m);
      assert.match(
        result.stdout,
        new RegExp(
          '^wrong +search attributes: CONFIG_INVALID(.|\\n)*?' +
            ' search-attribute create .*--name FailedSites --type KeywordList',
          'm',
        ),
      );
    }),

    t.test(
      'a server that does not answer ends a command with 4, without its password',
      async () => {
        const database = await debgeo(world, 'status', {
          DATABASE_URL: `postgresql://debgeo:hush@${NO_SERVER}/debgeo`,
        });
        const temporal = await debgeo(world, 'cancel bookworm', { TEMPORAL_ADDRESS: NO_SERVER });
        const doctor = await debgeo(world, 'doctor', {
          DATABASE_URL: `postgresql://debgeo:hush@${NO_SERVER}/debgeo`,
        });

        assert.equal(doctor.exitCode, UNREACHABLE, doctor.stdout);
        assert.match(doctor.stdout, /^wrong +database: DATABASE_UNREACHABLE(.|\n)*? do: /m);
        assert.doesNotMatch(doctor.stdout + doctor.stderr, /hush/);
        assert.equal(database.exitCode, UNREACHABLE, database.stderr);
        assert.equal(partsOf(database.stderr).code, 'DATABASE_UNREACHABLE');
        assert.doesNotMatch(database.stderr, /hush/);
        assert.equal(temporal.exitCode, UNREACHABLE, temporal.stderr);
        assert.equal(partsOf(temporal.stderr).code, 'TEMPORAL_UNREACHABLE');
      },
    ),

    t.test('settings that are wrong are usage errors, without a secret', async () => {
      for (const environment of [
        { DATABASE_URL: 'postgres:hush@h/d' },
        { DATABASE_URL: '' },
        { TEMPORAL_PROFILE: 'nope' },
        { DEBGEO_SLICE_MS: 'abc' },
      ]) {
        const result = await debgeo(world, 'status', environment);

        assert.equal(result.exitCode, USAGE, result.stderr);
        assert.equal(partsOf(result.stderr).code, 'CONFIG_INVALID');
        assert.doesNotMatch(result.stderr, /hush/);
      }
    }),
  ]);

  await t.test('a database that goes away while a command waits ends it with 4', async () => {
    const waiting = debgeo(world, 'verify bookworm --wait');
    const server = await connectDatabase((await servers()).databaseUrl);
    t.after(() => server.close());
    const database = new URL(world.databaseUrl).pathname.slice(1);
    const waits = sql`
      from pg_stat_activity
      where datname = ${database}
        and query like '%verify_answered_at%'`;
    await until(
      'it waits',
      async () => (await sql`select pid ${waits}`.execute(server.read.kysely)).rows.length > 0,
    );

    await sql`alter database ${sql.id(database)} allow_connections false`.execute(
      server.read.kysely,
    );
    await sql`select pg_terminate_backend(pid) ${waits}`.execute(server.read.kysely);
    const result = await waiting;

    assert.equal(result.exitCode, UNREACHABLE, result.stderr);
    assert.equal(partsOf(result.stderr).code, 'DATABASE_UNREACHABLE');
  });
});

test('migrate makes the tables once, and commands say when it has not run', async () => {
  const environment = { DATABASE_URL: await freshDatabase() };

  const before = await runDebgeo('status', environment);
  const first = await runDebgeo('migrate', environment);
  const second = await runDebgeo('migrate', environment);
  const after = await runDebgeo('status', environment);

  assert.equal(before.exitCode, FAILED);
  assert.equal(partsOf(before.stderr).code, 'SCHEMA_OUTDATED');
  assert.deepEqual([first.exitCode, second.exitCode, after.exitCode], [DONE, DONE, DONE]);
  assert.match(first.stdout, /^applied /);
  assert.doesNotMatch(second.stdout, /^applied /);
});

for (const command of ['frobnicate', 'update', 'status --colour', 'status --demo --dev'])
  test(`${command} is a usage error`, async () => {
    const result = await runDebgeo(command);

    assert.equal(result.exitCode, USAGE);
    assert.equal(result.stdout, '');
  });
