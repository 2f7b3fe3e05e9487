import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { Client, Connection } from '@temporalio/client';

import { freePort } from '../../src/stack/free-port.ts';
import { connectTemporal } from '../../src/temporal/connection.ts';
import {
  describeDistribution,
  describePollers,
  newestPollAt,
  describeServer,
  queryStatus,
} from '../../src/temporal/describe.ts';
import { reconcile } from '../../src/temporal/reconcile.ts';
import { ensureSearchAttributes } from '../../src/temporal/search-attributes.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { freshNamespace, servers } from '../support/servers.ts';
import { wanted } from '../workflows/harness.ts';

let client: Client;
let address: string;
before(async () => {
  address = (await servers()).temporalAddress;
  client = await connectTemporal({ address, namespace: await freshNamespace() });
});
after(() => client.connection.close());

test('search attributes are registered once, however often it is asked', async () => {
  await ensureSearchAttributes(client);
  await ensureSearchAttributes(client);

  const { customAttributes } = await (
    client.connection as Connection
  ).operatorService.listSearchAttributes({
    namespace: client.options.namespace,
  });
  assert.equal(customAttributes?.['FailedSites'], 7);
});

test('a search attribute of another type is refused', async () => {
  const other = await connectTemporal({ address, namespace: await freshNamespace() });
  try {
    const { namespace } = other.options;
    await (other.connection as Connection).operatorService.addSearchAttributes({
      namespace,
      searchAttributes: { FailedSites: 2 },
    });

    await assert.rejects(ensureSearchAttributes(other), refusesWith('CONFIG_INVALID'));
    const server = await describeServer(other);
    assert.match(server.version, /^\d+\.\d+/);
    assert.equal(server.retentionMs, 86_400_000);
    assert.deepEqual(
      server.searchAttributes?.map(({ name, found, isRight }) => [name, found, isRight]),
      [
        ['ReplicationState', null, false],
        ['FailedSites', 2, false],
        ['FailedCount', null, false],
        ['LaggingSites', null, false],
        ['LaggingCount', null, false],
      ],
    );
  } finally {
    await other.connection.close();
  }
});

test('reconciliation starts what does not run and leaves alone what does', async () => {
  await reconcile(client, wanted('a'));
  const first = await describeDistribution(client, 'a');

  await reconcile(client, wanted('a', 'b'));

  assert.equal((await describeDistribution(client, 'a'))?.runId, first?.runId);
  assert.equal((await describeDistribution(client, 'b'))?.status, 'RUNNING');
});

test('a workflow that never ran is absent, and no worker means no poller', async () => {
  assert.equal(await describeDistribution(client, 'never'), null);
  assert.equal(await queryStatus(client, 'never'), null);
  assert.equal(await describePollers(client), 0);
  assert.equal(await newestPollAt(client), null);
});

test('a server that does not answer is TEMPORAL_UNREACHABLE', async () => {
  await assert.rejects(
    connectTemporal(
      { address: `127.0.0.1:${await freePort(null, new Set())}`, namespace: 'default' },
      300,
    ),
    refusesWith('TEMPORAL_UNREACHABLE'),
  );
});
