import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';

import { connectDatabase } from '../../../src/database/orm.ts';
import {
  judgeSettings,
  readSettings,
  type Settings,
} from '../../../src/database/server/settings.ts';
import { freshDatabase } from '../../support/servers.ts';

/** As a new PostgreSQL 17 says them. */
const GOOD: Settings = {
  server_version_num: '170004',
  server_version: '17.4',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  in_hot_standby: 'off',
  server_encoding: 'UTF8',
  max_connections: '100',
  superuser_reserved_connections: '3',
  statement_timeout: '0',
  transaction_timeout: '0',
};

test('a new server of a version that is supported is right', () => {
  assert.deepEqual(judgeSettings(GOOD, 1), []);
  const { transaction_timeout: _, ...older } = {
    ...GOOD,
    server_version_num: '150000',
    server_version: '15.0',
  };
  assert.deepEqual(judgeSettings(older, 1), []);
});

for (const [what, change, types] of [
  [
    'a version that is too old',
    { server_version_num: '140012', server_version: '14.12' },
    'PostgreSQL 15',
  ],
  ['a standby', { in_hot_standby: 'on' }, 'DATABASE_URL'],
  [
    'transactions that only read',
    { default_transaction_read_only: 'on' },
    'default_transaction_read_only',
  ],
  ['a server that may destroy its tables', { fsync: 'off' }, "set fsync = 'on'"],
  ['torn pages', { full_page_writes: 'off' }, "set full_page_writes = 'on'"],
  ['commits that are forgotten', { synchronous_commit: 'off' }, "set synchronous_commit = 'on'"],
  [
    'another isolation',
    { default_transaction_isolation: 'serializable' },
    'default_transaction_isolation',
  ],
  ['an encoding that cannot hold names', { server_encoding: 'LATIN1' }, 'UTF8'],
  ['statements that end too soon', { statement_timeout: '30000' }, "set statement_timeout = '0'"],
  [
    'transactions that end too soon',
    { transaction_timeout: '60000' },
    "set transaction_timeout = '0'",
  ],
  ['too few connections', { max_connections: '40' }, 'max_connections = 50'],
] as const)
  test(`${what}: wrong, and it says what to type`, () => {
    const wrong = judgeSettings({ ...GOOD, ...change }, 1);

    assert.equal(wrong.length, 1);
    assert.equal(wrong[0]!.code, 'CONFIG_INVALID');
    assert.ok(wrong[0]!.expected!.toLowerCase().includes(types.toLowerCase()), wrong[0]!.expected);
  });

test('more workers need more connections', () => {
  assert.deepEqual(
    [1, 3, 4, 5].map((workers) => judgeSettings(GOOD, workers).length),
    [0, 0, 1, 1],
  );
});

test('a server says its settings', async (t: TestContext) => {
  const database = await connectDatabase(await freshDatabase());
  t.after(() => database.close());

  const settings = await readSettings(database);

  assert.ok(Number(settings.server_version_num) >= 150_000);
  const wrong = judgeSettings(settings, 1).map(({ found }) => found);
  assert.deepEqual(
    wrong,
    ['fsync = off', 'full_page_writes = off', 'synchronous_commit = off'],
    'the server of tests forgets in a crash, to be fast',
  );
});
