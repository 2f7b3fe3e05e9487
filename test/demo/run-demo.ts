import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');

export interface Ended {
  readonly exitCode: number | null;
  readonly printed: string;
}

/** `npm run demo -- …` in a folder of its own. */
export const demo = async (t: TestContext, ...args: string[]): Promise<Ended> => {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-foreign-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const child = spawn(process.execPath, ['src/demo/main.ts', ...args], {
    cwd: ROOT,
    env: { ...process.env, DEBGEO_DATA_DIR: folder },
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes) => (printed += String(bytes)));
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { exitCode, printed };
};
