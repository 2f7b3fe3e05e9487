/** Workflows with a planted fault: those of this version, with one piece of text changed. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

import {
  bundleWorkflowCode,
  DefaultLogger,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface WorkflowChange {
  /** Of this project. */
  readonly file: string;
  /** Any white space stands for any other: lines may be broken anew. */
  readonly from: string;
  readonly to: string;
}

/** A folder outside of the project whose programs find its packages. */
export async function folderWithPackages(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'debgeo-workflows-'));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** Copies the workflows, and what they import, below `root`, and changes them there. */
export async function changeWorkflows(root: string, change: WorkflowChange): Promise<void> {
  const { file, from, to } = change;
  for (const room of ['workflows', 'src/domain'])
    await cp(join(ROOT, room), join(root, room), { recursive: true });
  const text = await readFile(join(root, file), 'utf8');
  const words = from.split(/\s+/).map((word) => RegExp.escape(word));
  const place = new RegExp(words.join('\\s+'));
  assert.equal(text.split(place).length, 2, `the change must apply once: ${from}`);
  await writeFile(
    join(root, file),
    text.replace(place, () => to),
  );
}

/** The converter of the workflows below `root`, for a bundle and for a worker of it. */
export const converterOf = (root: string): { payloadConverterPath: string } => ({
  payloadConverterPath: join(root, 'workflows/payload-converter.ts'),
});

export const bundleOf = (root: string): Promise<WorkflowBundleWithSourceMap> =>
  bundleWorkflowCode({
    ...converterOf(root),
    workflowsPath: join(root, 'workflows/index.ts'),
    logger: new DefaultLogger('ERROR'),
  });

/** The bundle of changed workflows, for a world's worker. */
export async function changedBundle(t: TestContext, change: WorkflowChange): Promise<string> {
  const root = await folderWithPackages();
  t.after(() => rm(root, { recursive: true, force: true }));
  await changeWorkflows(root, change);
  const codePath = join(root, 'bundle.js');
  await writeFile(codePath, (await bundleOf(root)).code);
  return codePath;
}
