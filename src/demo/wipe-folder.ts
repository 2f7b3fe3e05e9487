/**
 * `node wipe-folder.ts FOLDER`: empties the folder of an earlier stack, after it has stopped the
 * servers that a killed keeper left. It holds the keeper's lock, so that running servers keep their
 * files; and is a process of its own, because the lock lasts as long as its process.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';
import { stopLeftovers, acquireLock } from '../stack/keeper-lock.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: node wipe-folder.ts FOLDER');
const say = (line: string) => process.stdout.write(`${line}\n`);

mkdirSync(folder, { recursive: true, mode: 0o700 });
try {
  await acquireLock(folder, say);
  await stopLeftovers(folder, say);
  for (const name of readdirSync(folder))
    rmSync(join(folder, name), { recursive: true, force: true });
  process.exit(0);
} catch (error) {
  if (!(error instanceof DebgeoError)) throw error;
  say(`${error.code}: ${error.message}: ${error.report.found ?? ''}`);
  process.exit(1);
}
