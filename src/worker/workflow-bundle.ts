/**
 * The code of the workflows as a worker takes it. The bundler takes 165 MB of memory, which a
 * worker that ran it in its own process would keep.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const BUNDLER = fileURLToPath(new URL('bundle-workflows.ts', import.meta.url));

export const writeWorkflowBundle = async (file: string): Promise<void> => {
  await promisify(execFile)(process.execPath, [BUNDLER, file]);
};

/** Makes the bundle for as long as `use` needs its file. */
export async function withWorkflowBundle<Result>(
  use: (codePath: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-workflows-'));
  try {
    const codePath = join(folder, 'workflows.js');
    await writeWorkflowBundle(codePath);
    return await use(codePath);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
