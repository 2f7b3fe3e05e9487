/** A database of the version before archives had a rule for addresses, with two archives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sql } from 'kysely';

import { createHttpArchive } from '../../../src/archive/http-archive.ts';
import { readDistribution } from '../../../src/database/catalog/distributions.ts';
import { applyConfiguration } from '../../../src/database/configuration/apply-configuration.ts';
import { connectDatabase } from '../../../src/database/orm.ts';
import { migrate } from '../../../src/database/server/migrate.ts';
import { run } from '../../../src/database/sql.ts';
import { listPrivateArchives } from '../../../src/database/views/work.ts';
import { parseRepoPath } from '../../../src/domain/repo-path.ts';
import { startServer } from '../../archive/test-server.ts';
import { aConfiguration } from '../../support/configuration.ts';
import { refusesWith } from '../../support/refuses-with.ts';
import { freshDatabase } from '../../support/servers.ts';

const BEFORE = '2026-12-01-wake';
const FILE = parseRepoPath('pool/hello.deb');

test('an archive that was configured before there was a rule stays permitted', async (t) => {
  const server = await startServer();
  t.after(() => server.close());
  const db = await connectDatabase(await freshDatabase());
  t.after(() => db.close());
  await db.orm.migrator.up({ to: BEFORE });
  for (const statement of [
    sql`
      insert into archives (name, url, mount)
      values ('debian', ${server.url}, 'debian'), ('folder', 'file:///srv/debian', 'folder')`,
    sql`insert into debian_distributions (name, archive_id, suite) values ('stable', 1, 'stable')`,
  ])
    await run(db.read, statement);
  const read = async (): Promise<void> => {
    const { archive } = (await readDistribution(db.read, 'stable'))!;
    const opened = createHttpArchive(archive);
    try {
      const body = await opened.open(FILE, 10, new AbortController().signal);
      await Array.fromAsync(body!);
    } finally {
      await opened.close();
    }
  };

  await migrate(db);

  await read();
  assert.deepEqual(await listPrivateArchives(db), ['debian'], 'doctor names what is dialled');

  // What is configured from now on says so, or is refused.
  const configuration = (private_network: boolean) =>
    aConfiguration({
      archive: { url: server.url, private_network },
      sites: ['fra'],
      distributions: { stable: { suite: 'stable' } },
    });
  await applyConfiguration(db, configuration(true), false);
  await read();
  await applyConfiguration(db, configuration(false), false);
  await assert.rejects(read(), refusesWith('ADDRESS_REFUSED'));
  assert.deepEqual(await listPrivateArchives(db), []);
  assert.ok(server.connections > 0);

  await db.orm.migrator.down({ to: BEFORE });
  await migrate(db);
});
