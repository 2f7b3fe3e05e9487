/**
 * The code of the workflows as a worker takes it. The bundler takes 165 MB of memory, which a
 * worker that ran it in its own process would keep, and four seconds of a processor: a bundle is
 * kept for the next start.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, glob, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Of what the bundler reads: more than it needs, so that none is forgotten. */
const SOURCES = '{workflows,src/domain,src/temporal,src/worker}/**/*.ts';
const PACKAGES = ['@temporalio/worker', '@temporalio/workflow', '@temporalio/common'];

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

/**
 * The bundle of exactly these sources, made where `folder` has none. It is renamed into its place:
 * a worker that is killed meanwhile leaves no half of it there.
 * @returns its file; null: it cannot be kept there, and each start makes its own
 */
export async function keptWorkflowBundle(folder: string): Promise<string | null> {
  const codePath = join(folder, `workflows-${await digestOfSources()}.js`);
  if (await isThere(codePath)) return codePath;
  try {
    await mkdir(folder, { recursive: true });
    const own = await mkdtemp(join(folder, 'workflows-'));
    try {
      await writeWorkflowBundle(join(own, 'workflows.js'));
      await rename(join(own, 'workflows.js'), codePath);
    } finally {
      await rm(own, { recursive: true, force: true });
    }
    return codePath;
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    return null;
  }
}

/** @param root of the checkout */
export async function digestOfSources(root: string = ROOT): Promise<string> {
  const require = createRequire(import.meta.url);
  const sources = (await Array.fromAsync(glob(SOURCES, { cwd: root }))).sort();
  const files = [
    ...sources.map((path) => join(root, path)),
    ...PACKAGES.map((name) => require.resolve(`${name}/package.json`)),
  ];
  const digest = createHash('sha256');
  for (const [index, file] of files.entries()) {
    const bytes = await readFile(file);
    digest.update(`${sources[index] ?? 'package'} ${bytes.length}\n`).update(bytes);
  }
  return digest.digest('hex');
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
