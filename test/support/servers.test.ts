import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { Client, Connection } from '@temporalio/client';
import { sql } from 'kysely';

import { connectDatabase } from '../../src/database/orm.ts';
import { assertMigrated, migrate } from '../../src/database/server/migrate.ts';
import { refusesWith } from './refuses-with.ts';
import { freshDatabase, freshNamespace, migratedDatabase, servers } from './servers.ts';

test('a fresh database has no tables, and takes the migrations', async () => {
  const database = await connectDatabase(await freshDatabase());

  await assert.rejects(assertMigrated(database), refusesWith('SCHEMA_OUTDATED'));
  const applied = await migrate(database);

  assert.ok(applied.length > 0);
  await database.close();
});

test('migrated databases are asked for side by side and share nothing', async () => {
  const [left, right] = await Promise.all([migratedDatabase(), migratedDatabase()]);
  const databases = await Promise.all([connectDatabase(left), connectDatabase(right)]);

  await Promise.all(databases.map((database) => assertMigrated(database)));
  await sql`create table only_left ()`.execute(databases[0].read.kysely);
  const seen = await sql<{
    found: boolean;
  }>`select to_regclass('only_left') is not null as found`.execute(databases[1].read.kysely);

  assert.equal(seen.rows[0]?.found, false);
  await Promise.all(databases.map((database) => database.close()));
});

test('a workflow is started in a fresh namespace at once', async () => {
  const namespace = await freshNamespace();
  const connection = await Connection.connect({ address: (await servers()).temporalAddress });
  const client = new Client({ connection, namespace });

  const handle = await client.workflow.start('anything', { workflowId: 'w', taskQueue: 'q' });

  assert.equal((await handle.describe()).status.name, 'RUNNING');
  await connection.close();
});

test('both blob servers take containers with their own key', async () => {
  const { blobs } = await servers();

  assert.deepEqual(
    blobs.map(({ name }) => name),
    ['fra', 'sin'],
  );
  for (const { url, account, key } of blobs) {
    const container = new BlobServiceClient(
      url,
      new StorageSharedKeyCredential(account, key),
    ).getContainerClient(`c${Date.now()}`);
    await container.create({ access: 'blob' });
    assert.equal(await container.exists(), true);
  }
});
