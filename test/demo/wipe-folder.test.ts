import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runScript } from '../../src/demo/run-command.ts';
import { stopChild } from '../support/child.ts';

const WIPE_FOLDER = fileURLToPath(new URL('../../src/demo/wipe-folder.ts', import.meta.url));

const urlOf = (path: string): string => new URL(`../../src/stack/${path}`, import.meta.url).href;

/** Begins as a keeper does, and stays: the lock lasts as long as its process. */
const HOLD_LOCK = `
  import { acquireLock, writeRecord } from '${urlOf('keeper-lock.ts')}';
  import { identify } from '${urlOf('process-identity.ts')}';
  const folder = process.argv.at(-1);
  writeRecord(folder, identify(process.pid), []);
  await acquireLock(folder, () => undefined);
  console.log('held');
`;

function usedFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-wipe-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'stack.json'), '{}');
  return folder;
}

test('the folder of an earlier demo is emptied', async (t) => {
  const folder = usedFolder(t);

  const { exitCode } = await runScript(WIPE_FOLDER, [folder]);

  assert.equal(exitCode, 0);
  assert.deepEqual(readdirSync(folder), []);
});

test('the folder of running servers keeps its files', async (t) => {
  const folder = usedFolder(t);
  const keeper = spawn(process.execPath, ['--input-type=module', '--eval', HOLD_LOCK, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => stopChild(keeper, 'SIGKILL'));
  await once(keeper.stdout, 'data');

  const { exitCode } = await runScript(WIPE_FOLDER, [folder]);

  assert.equal(exitCode, 1);
  assert.ok(readdirSync(folder).includes('stack.json'));
});
