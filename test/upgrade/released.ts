/**
 * What an installation of a released version had: its database, what lay at its sites `fra` and
 * `sin`, the histories of its workflows, and the source of those. In a folder per version, made by
 * `record.ts` from a checkout of it. So no test needs the history of git.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';

import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { sql } from 'kysely';

import { connectDatabase, type Database } from '../../src/database/orm.ts';
import { all, one, run } from '../../src/database/sql.ts';
import { freshDatabase } from '../support/servers.ts';
import type { World } from '../support/world.ts';

export interface Released {
  readonly revision: number;
  /** Rows of each table, as `json_agg` has them. */
  readonly tables: Readonly<Record<string, readonly object[]>>;
  /** By site and path: base64. */
  readonly blobs: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** By the id of the workflow. */
  readonly histories: Readonly<Record<string, object>>;
}

const folderOf = (version: string): string => join(import.meta.dirname, version);

export async function readReleased(version: string): Promise<Released> {
  const packed = await readFile(join(folderOf(version), 'state.json.gz'));
  return JSON.parse(gunzipSync(packed).toString()) as Released;
}

/** The workflows of a version, bundled by the SDK of today. */
export async function bundleReleased(t: TestContext, version: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-released-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await promisify(execFile)('tar', ['-xzf', join(folderOf(version), 'workflows.tar.gz')], {
    cwd: folder,
  });
  await symlink(join(import.meta.dirname, '../../node_modules'), join(folder, 'node_modules'));
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(folder, 'workflows/index.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  const codePath = join(folder, 'bundle.js');
  await writeFile(codePath, code);
  return codePath;
}

/**
 * A database with the tables and rows of that version, and its blobs in the containers of a world.
 * The archive and the places of the sites are the world's, and so are ETags.
 */
export async function restoreReleased(
  released: Released,
  stage: World,
): Promise<{ database: Database; databaseUrl: string }> {
  const databaseUrl = await freshDatabase();
  const database = await connectDatabase(databaseUrl);
  const migrations = released.tables['mikro_orm_migrations'] as readonly { name: string }[];
  await database.orm.migrator.up({ to: migrations.at(-1)!.name });
  await database.transaction(async (tx) => {
    await run(tx, sql`set local session_replication_role = replica`); // in any sequence of tables
    for (const [table, rows] of Object.entries(released.tables)) {
      if (table === 'mikro_orm_migrations' || rows.length === 0) continue;
      const columns = await all(
        tx,
        sql<{ name: string; is_identity: string }>`
          select column_name as name, is_identity
          from information_schema.columns
          where table_name = ${table}
            and table_schema = 'public'
            and is_generated = 'NEVER'`,
      );
      const names = sql.join(columns.map(({ name }) => sql.ref(name)));
      await run(
        tx,
        sql`
          insert into ${sql.table(table)} (${names})
          overriding system value
          select ${names}
          from json_populate_recordset(null::${sql.table(table)}, ${JSON.stringify(rows)}::json)`,
      );
      for (const { name, is_identity: isIdentity } of columns)
        if (isIdentity === 'YES')
          await one(
            tx,
            sql`
              select setval(pg_get_serial_sequence(${table}, ${name}), max(${sql.ref(name)}))
              from ${sql.table(table)}`,
          );
    }
    await one(tx, sql`select setval('revision', ${released.revision})`);
  });
  await moveTo(database, released, stage);
  return { database, databaseUrl };
}

async function moveTo(database: Database, { blobs }: Released, stage: World): Promise<void> {
  const { read } = database;
  // Beside the key that signed what the database holds: a lane may publish that before it looks.
  const key = Buffer.from(stage.key.publicBinary);
  await run(
    read,
    sql`update archives set url = ${stage.archiveServer.url}, keyring = keyring || ${key}::bytea`,
  );
  for (const [name, contents] of Object.entries(blobs)) {
    const { container, accountUrl, variable } = stage.site(name);
    const publicUrl = `${accountUrl}/${container.containerName}`;
    await run(
      read,
      sql`
        update replication_sites
        set account_url = ${accountUrl},
          container = ${container.containerName},
          public_url = ${publicUrl},
          credential = ${JSON.stringify({ env: variable })}::jsonb
        where name = ${name}`,
    );
    const etags: { path: string; etag: string }[] = [];
    for (const [path, base64] of Object.entries(contents)) {
      const bytes = Buffer.from(base64, 'base64');
      const { etag } = await stage.site(name).blob(path).upload(bytes, bytes.length);
      etags.push({ path, etag: etag! });
    }
    const here = sql`
      json_to_recordset(${JSON.stringify(etags)}::json) here (path text, etag text),
      replication_sites s`;
    await run(
      read,
      sql`
        update blob_registry b
        set etag = here.etag
        from ${here}, paths p
        where s.name = ${name}
          and b.site_id = s.id
          and b.path_id = p.id
          and b.etag is not null
          and here.path = 'debian/' || p.path`,
    );
    await run(
      read,
      sql`
        update published_names n
        set etag = here.etag
        from ${here}
        where s.name = ${name}
          and n.site_id = s.id
          and n.etag is not null
          and here.path = 'debian/' || n.path`,
    );
  }
}
