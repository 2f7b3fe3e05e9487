/**
 * Each release makes every site lagging, and the server ends a run that shows more than 2,048 bytes
 * of names in one attribute. A distribution with many sites runs on, and reaches all of them.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import test, { type TestContext } from 'node:test';

import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';

import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { workflowId } from '../../workflows/messages.ts';
import { changedBundle } from '../support/changed-workflows.ts';
import { aConfiguration } from '../support/configuration.ts';
import { servers } from '../support/servers.ts';
import { aPackage, aWorld, nudge, placeOf, PLANTED_MS, type World } from '../support/world.ts';

/** 32 names as long as names may be were too many. */
const MORE = Array.from({ length: 39 }, (_, index) => `site-${index}-`.padEnd(63, 'x'));

/** Containers of the account of `fra`, past its proxy. */
async function besideManySites(world: World): Promise<void> {
  const { url, account, key } = (await servers()).blobs[0]!;
  const service = new BlobServiceClient(url, new StorageSharedKeyCredential(account, key));
  const fra = placeOf(world.site('fra'));
  const sites = await Promise.all(
    MORE.map(async (name) => {
      const container = `m-${randomBytes(6).toString('hex')}`;
      await service.getContainerClient(container).create({ access: 'blob' });
      return [
        name,
        { ...fra, account_url: url, container, public_url: `${url}/${container}` },
      ] as const;
    }),
  );
  const configuration = aConfiguration({
    archive: { url: world.archiveServer.url, keyring: world.key.publicBinary },
    sites: { fra, ...Object.fromEntries(sites) },
    distributions: [world.suite],
  });
  await applyConfiguration(world.database, configuration, false);
}

async function promise(t: TestContext, codePath?: string): Promise<void> {
  const settleMs = codePath === undefined ? 120_000 : PLANTED_MS;
  const world = await aWorld(t, { sites: ['fra'], worker: 'none', ...(codePath && { codePath }) });
  await besideManySites(world);
  await world.release([aPackage('hello', '1.0')]);
  await world.startWorker();
  await nudge(world);

  await world.until(
    ({ sites }) =>
      sites.length === 1 + MORE.length && sites.every(({ state }) => state === 'synced'),
    'every site is synced',
    undefined,
    settleMs,
  );
  const runs = await world.withTemporal((client) =>
    Array.fromAsync(
      client.workflow.list({ query: `WorkflowId = "${workflowId(world.suite)}"` }),
      (run) => run.status.name,
    ),
  );
  assert.deepEqual(runs, ['RUNNING']);
}

test('a release reaches forty sites with long names', { timeout: 240_000 }, (t) => promise(t));

test('its test notices attributes that are not capped', { timeout: 120_000 }, async (t) => {
  const uncapped = await changedBundle(t, {
    file: 'src/domain/limits.ts',
    from: 'shownSites: 20,',
    to: 'shownSites: 1_000,',
  });

  await assert.rejects(promise(t, uncapped), assert.AssertionError);
});
