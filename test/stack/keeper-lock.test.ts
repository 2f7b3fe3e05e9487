import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { stopLeftovers } from '../../src/stack/keeper-lock.ts';
import { identify, type ProcessIdentity } from '../../src/stack/process-identity.ts';
import { stopChild } from '../support/child.ts';

test('a recorded server that still runs is stopped', async (context) => {
  const left = await sleeper(context);
  const folder = recordOf(context, left.identity);

  await stopLeftovers(folder, () => undefined);

  assert.equal(identify(left.identity.pid), null);
});

test('a stranger with the pid of a recorded server is left alone', async (context) => {
  const stranger = await sleeper(context);
  const folder = recordOf(context, { ...stranger.identity, started: 'another boot/17' });

  await stopLeftovers(folder, () => undefined);

  assert.deepEqual(identify(stranger.identity.pid), stranger.identity);
});

test('a zombie does not count as a living process', async () => {
  // The shell starts a child that ends, then becomes a program that never waits for it.
  const parent = spawn('sh', ['-c', 'true & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [pid] = (await once(parent.stdout, 'data')) as [Buffer];

  const deadline = Date.now() + 5_000;
  while (identify(Number(pid)) !== null && Date.now() < deadline) await new Promise(setImmediate);

  assert.equal(identify(Number(pid)), null);
  await stopChild(parent);
});

async function sleeper(context: TestContext): Promise<{ identity: ProcessIdentity }> {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  context.after(() => stopChild(child));
  const identity = identify(child.pid!);
  assert.ok(identity);
  return { identity };
}

function recordOf(context: TestContext, identity: ProcessIdentity): string {
  const folder = mkdtempSync(join(tmpdir(), 'debgeo-keeper-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const servers = [{ name: 'Temporal', stopBy: 'SIGTERM', identity }];
  writeFileSync(
    join(folder, 'keeper.json'),
    JSON.stringify({ keeper: null, parent: identity, servers }),
  );
  return folder;
}
