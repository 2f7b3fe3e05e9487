import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { describe, it } from 'node:test';

import { exitOf } from './support/child.ts';

const ROOT = join(import.meta.dirname, '..');
const LEAN_NODE = join(ROOT, 'src/lean-node');
const MIB = 2 ** 20;
/** Twice the 16 MiB of its flag, and V8's pages. */
const YOUNG_MAX = 40 * MIB;

/**
 * Sends its pid, its environment, and how much memory V8 took for young objects while many of them
 * were alive; then ends with its channel.
 */
const PROGRAM = `
  const kept = [];
  for (let made = 0; made < 3e7; made += 1) {
    const object = { made, list: [made] };
    if (made % 50 === 0) kept[(made / 50) % 200_000] = object;
  }
  const spaces = require('node:v8').getHeapSpaceStatistics();
  process.send({
    pid: process.pid,
    young: spaces.find((space) => space.space_name === 'new_space').physical_space_size,
    arenas: process.env.MALLOC_ARENA_MAX,
    cache: process.env.NODE_COMPILE_CACHE,
  });`;

interface Said {
  readonly pid: number;
  readonly young: number;
  readonly arenas?: string;
  readonly cache?: string;
}

async function run(
  program: string,
  environment: NodeJS.ProcessEnv = {},
): Promise<{ said: Said; isItself: boolean; code: number | null }> {
  const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter);
  const child = spawn(program, ['--eval', PROGRAM], {
    env: { PATH, ...environment },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [said] = (await once(child, 'message')) as [Said];
  child.disconnect();
  return { said, isItself: said.pid === child.pid, code: await exitOf(child) };
}

describe('lean-node', () => {
  it('is Node in the process that was started, and bounds young objects', async () => {
    const lean = await run(LEAN_NODE, { HOME: '/nowhere' });

    assert.deepEqual([lean.isItself, lean.code], [true, 0]);
    assert.ok(lean.said.young <= YOUNG_MAX, `${lean.said.young} bytes`);
    assert.deepEqual([lean.said.arenas, lean.said.cache], ['2', '/nowhere/.cache/debgeo/compiled']);

    const plain = await run(process.execPath);
    assert.ok(plain.said.young > YOUNG_MAX, `${plain.said.young} bytes`);
  });

  it('keeps variables that are set', async () => {
    const { said } = await run(LEAN_NODE, {
      HOME: '/nowhere',
      MALLOC_ARENA_MAX: '1',
      NODE_COMPILE_CACHE: '/elsewhere',
    });

    assert.deepEqual([said.arenas, said.cache], ['1', '/elsewhere']);
  });

  it('makes no cache of code without a home, where other accounts could write', async () => {
    assert.equal((await run(LEAN_NODE)).said.cache, undefined);
  });

  it('starts the worker in every script that has one', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };

    assert.equal(scripts['debgeo'], 'exec src/lean-node src/main.ts');
    assert.equal(scripts['dev'], 'exec src/lean-node src/dev/dev.ts');
  });
});
