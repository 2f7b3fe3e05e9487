/** It would be seen: faults that were fixed are put back, and the model finds each. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { runNode } from '../support/child.ts';
import { migratedDatabase } from '../support/servers.ts';
import {
  A_FORGERY,
  A_LATE_NAME,
  A_PRUNE_AT_ONCE,
  AN_OLDER_COPY,
  ROT,
  TWO_PLANS,
} from './known-schedules.ts';
import type { PLANTS } from './plants.ts';
import type { Schedule } from './schedule.ts';

const MAIN = join(import.meta.dirname, 'main.ts');

async function findingOf(name: keyof typeof PLANTS, schedule: Schedule): Promise<string> {
  const database = await migratedDatabase();
  const played = ['--schedule', JSON.stringify(schedule), '--database', database];
  const { exitCode, stdout, stderr } = await runNode(MAIN, [...played, '--plant', name], {});
  assert.equal(exitCode, 1, `${stdout}${stderr}`);
  return stdout;
}

test('it would be seen if a plan judged in one statement and wrote in the next', async () => {
  assert.match(
    await findingOf('A7', TWO_PLANS),
    /I1: fra: pool\/main\/s\/shared\/.* of stable is other bytes/,
  );
});

test('it would be seen if nothing remembered when a name was deleted', async () => {
  assert.match(
    await findingOf('A8', A_LATE_NAME),
    /I10, I11: stable at fra: .*Packages\.xz is a name that the release has not/,
  );
});

test('it would be seen if prune deleted what was served a moment ago', async () => {
  assert.match(await findingOf('grace', A_PRUNE_AT_ONCE), /R6: fra: .* in grace/);
});

test('it would be seen if an older copy of a container had no grace', async () => {
  assert.match(await findingOf('spared', AN_OLDER_COPY), /R6: fra: .* in grace/);
});

test('it would be seen if checksum trusted what it reads', async () => {
  assert.match(await findingOf('trust', ROT), /I2: fra: .* is verified, and is not so/);
});

test('it would be seen if a forged release were believed', async () => {
  assert.match(await findingOf('believed', A_FORGERY), /I8: a forgery of stable changed something/);
});
