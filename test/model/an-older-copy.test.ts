/**
 * Found by the model, and played again on Azurite: a container is put back to an older copy, and a
 * worker dies while its lane repairs that.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ContainerClient } from '@azure/storage-blob';
import { sql } from 'kysely';

import { applyCommand } from '../../src/database/replications/commands.ts';
import { run } from '../../src/database/sql.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import { aPackage, code, inActivity, startLanes } from '../activities/lane/lanes.ts';
import { Killed } from '../activities/stores.ts';

const AT = { distribution: 'bookworm', site: 'fra' };
const HEAD = '.debgeo/heads/debian/bookworm.json';

async function contentsOf(container: ContainerClient): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for await (const { name } of container.listBlobsFlat())
    found.set(name, await container.getBlockBlobClient(name).downloadToBuffer());
  return found;
}

async function putBack(container: ContainerClient, copy: Map<string, Buffer>): Promise<void> {
  for (const name of (await contentsOf(container)).keys()) await container.deleteBlob(name);
  for (const [name, bytes] of copy)
    await container.getBlockBlobClient(name).upload(bytes, bytes.length);
}

/** Dies when H is there for the second time: over the older one. */
function dyingBehindHead(store: SiteStore): SiteStore {
  let heads = 0;
  return {
    site: store.site,
    checksum: (...args) => store.checksum(...args),
    open: (...args) => store.open(...args),
    remove: (...args) => store.remove(...args),
    put: async (path, ...args) => {
      const written = await store.put(path, ...args);
      if (path === HEAD && ++heads === 2) throw new Killed('killed');
      return written;
    },
  };
}

test('prune spares an older release that a site shows while it is repaired', async (t) => {
  const lanes = await startLanes(t);
  const { container } = lanes.site();
  const [stays, goes] = [aPackage('stays', '1.0'), aPackage('goes', '1.0')];
  await lanes.replicate(await lanes.capture([stays, goes]));
  const copy = await contentsOf(container);
  await lanes.replicate(await lanes.capture([stays]));
  const generation = await lanes.capture([stays, aPackage('comes', '1.0')]);
  await lanes.replicate(generation);
  await run(
    lanes.database.read,
    sql`update publications set replaced_at = replaced_at - interval '7 days'`,
  );

  await putBack(container, copy);
  await applyCommand(lanes.database, AT, { verify: true }, null);
  const isBehind = (error: unknown): boolean => code(error) === 'SITE_BEHIND';
  await assert.rejects(lanes.replicate(generation), isBehind, 'what was read back is older');
  const report = { code: 'SITE_BEHIND', message: 'as the lane says' } as const;
  await inActivity(() => lanes.activities().recordFailure({ ...AT, report }));
  const store = dyingBehindHead(lanes.site().store);
  const doomed = lanes.activities({ stores: new Map([['fra', store]]) });
  await assert.rejects(lanes.replicate(generation, 'fra', doomed), Killed);
  const prune = async (): Promise<unknown> => {
    await inActivity(() => lanes.activities().planPrune({ site: 'fra' }));
    return inActivity(() => lanes.activities().pruneBlobs({ site: 'fra' }));
  };
  await assert.rejects(prune(), isBehind);

  const now = await contentsOf(container);
  const visible = 'debian/dists/bookworm/InRelease';
  assert.deepEqual(now.get(visible), copy.get(visible), 'the older release is visible');
  const lost = [...copy.keys()].filter((name) => name.includes('/pool/') && !now.has(name));
  assert.deepEqual(lost, [], 'what it names is there');

  await lanes.replicate(generation);
  await assert.rejects(prune(), isBehind, 'in its grace, too');
  await lanes.endGrace();
  await prune();
  const left = [...(await contentsOf(container)).keys()];
  assert.ok(!left.some((name) => name.includes('goes')));
});
