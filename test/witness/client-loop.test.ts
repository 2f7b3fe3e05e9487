import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ReleaseContent } from '../../src/made-archive/signed-archive.ts';
import { ask } from '../../src/witness/ask-as-apt.ts';
import { startClientLoop, type ClientLoop } from '../../src/witness/client-loop.ts';
import {
  CLIENTS,
  packagesOf,
  serveArchive,
  SUITE,
  type ServedArchive,
} from '../support/served-archive.ts';

const DEADLINE_MS = 20_000;

for (const { kind, skip } of CLIENTS) {
  test(
    `${kind}: no cycle over an archive that releases in the right order fails`,
    { skip },
    async (t) => {
      const served = await serveArchive();
      t.after(() => served.close());
      const { loop, release } = await startLoop(served, kind);

      for (const version of ['1.1', '1.2', '1.3']) {
        await released(served, await release(version));
        await cyclesAfterNow(loop, 1);
      }
      const cycles = await loop.stop();

      assert.deepEqual(
        cycles.flatMap((cycle) => cycle.failure ?? []),
        [],
      );
      assert.ok(cycles.every((cycle) => cycle.files === 2));
      assert.ok(cycles.some((cycle) => cycle.overlapped));
    },
  );

  test(`${kind}: cycles fail where InRelease is published first`, { skip }, async (t) => {
    const served = await serveArchive();
    t.after(() => served.close());
    const { loop, release } = await startLoop(served, kind);

    const { files } = await release('1.1');
    const [last, ...others] = files.toReversed();
    await served.archive.write(last === undefined ? [] : [last]);
    await cyclesAfterNow(loop, 2);
    await served.archive.write(others.toReversed());
    await cyclesAfterNow(loop, 2);
    const cycles = await loop.stop();

    assert.ok(cycles.some((cycle) => cycle.failure?.startsWith('update')));
    assert.equal(cycles.at(-1)?.failure, null);
  });

  test(
    `${kind}: cycles fail for bytes that were never released, though every hash is right`,
    { skip },
    async (t) => {
      const served = await serveArchive();
      t.after(() => served.close());
      await served.archive.release(packagesOf('1.0'));
      const client = await served.client(kind);

      const loop = startClientLoop({
        client,
        expected: () => undefined,
        served: async () => 'same',
      });
      await cyclesAfterNow(loop, 1);
      const cycles = await loop.stop();

      assert.ok(cycles.every((cycle) => cycle.failure?.startsWith('download')));
    },
  );
}

/**
 * Starts a loop over an archive with one release; `release` prepares the next one, whose files are
 * expected from then on.
 */
async function startLoop(served: ServedArchive, kind: 'apt' | 'built-in') {
  const expected = new Map<string, string>();
  const enter = (content: ReleaseContent) => {
    for (const [path, sha256] of content.pool) expected.set(path.replace(/^.*\//, ''), sha256);
    return content;
  };
  await released(served, enter(await served.archive.prepare(packagesOf('1.0'))));
  const loop = startClientLoop({
    client: await served.client(kind),
    expected: (name) => expected.get(name),
    served: async () =>
      (await ask(served.server.url, `dists/${SUITE}/InRelease`, { method: 'HEAD' })).etag ?? '',
  });
  return {
    loop,
    release: async (version: string) => enter(await served.archive.prepare(packagesOf(version))),
  };
}

const released = (served: ServedArchive, content: ReleaseContent): Promise<void> =>
  served.archive.write(content.files);

/** Resolves when so many cycles have ended that began after this call. */
async function cyclesAfterNow(loop: ClientLoop, count: number): Promise<void> {
  const from = Date.now();
  while (loop.cycles.filter((cycle) => cycle.startedAt >= from).length < count) {
    assert.ok(Date.now() - from < DEADLINE_MS, 'the loop stands still');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
