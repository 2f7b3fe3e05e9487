/**
 * A process that starts a stack and drains on Ctrl-C as a worker does: it writes to the database
 * once more before it stops the servers.
 */
import { sql } from 'kysely';

import { connectDatabase } from '../../src/database/orm.ts';
import { run } from '../../src/database/sql.ts';
import { startStack } from '../../src/stack/stack.ts';

const stack = await startStack({
  folder: process.argv[2]!,
  blobs: ['fra'],
  say: () => undefined,
  durable: false,
});

process.once('SIGINT', () => void drain());
process.stdout.write('ready\n');

async function drain(): Promise<void> {
  const database = await connectDatabase(stack.databaseUrl);
  await run(database.read, sql`insert into kept values ('drained')`);
  await database.close();
  await stack.stop();
}
