import assert from 'node:assert/strict';
import { appendFile, cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

import {
  digestOfSources,
  keptWorkflowBundle,
  writeWorkflowBundle,
} from '../../src/worker/workflow-bundle.ts';

const ROOT = dirname(dirname(import.meta.dirname));
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'debgeo-bundle-'));
});
after(() => rm(folder, { recursive: true }));

test('a bundle is made once, as a worker without a cache makes it', async () => {
  const cache = join(folder, 'cache');
  const first = await keptWorkflowBundle(cache);
  const { ino, mtimeMs } = await stat(first!);
  const second = await keptWorkflowBundle(cache);

  assert.equal(second, first);
  const again = await stat(second!);
  assert.deepEqual([again.ino, again.mtimeMs], [ino, mtimeMs]);
  assert.equal((await readdir(cache)).length, 1);
  await writeWorkflowBundle(join(folder, 'own.js'));
  assert.equal(await readFile(first!, 'utf8'), await readFile(join(folder, 'own.js'), 'utf8'));
});

test('other sources are another bundle', async () => {
  const copy = join(folder, 'copy');
  for (const part of ['workflows', 'src/domain', 'src/temporal', 'src/worker'])
    await cp(join(ROOT, part), join(copy, part), { recursive: true });
  const same = await digestOfSources(copy);
  assert.equal(same, await digestOfSources());

  for (const part of ['workflows/site-lane.ts', 'src/domain/text.ts']) {
    const before = await digestOfSources(copy);
    await appendFile(join(copy, part), '\n');
    assert.notEqual(await digestOfSources(copy), before, part);
  }
});

test('where nothing can be kept, a worker makes its own', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');

  assert.equal(await keptWorkflowBundle(join(file, 'cache')), null);
});
