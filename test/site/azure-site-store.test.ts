import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';

import {
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  RestError,
  SASProtocol,
  type ContainerClient,
} from '@azure/storage-blob';

import { DebgeoError } from '../../src/domain/errors.ts';
import { parseRepoPath, type RepoPath } from '../../src/domain/repo-path.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import { SasToken } from '../../src/site/credentials.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { startAzuriteSite, type AzuriteSite } from './azurite-site.ts';
import { siteStoreContract } from './site-store-contract.ts';
import { contentOf, type StoreUnderTest } from './store-under-test.ts';

const NEVER = new AbortController().signal;
const LIMITS = {
  putBytes: 100_000,
  stallMs: 700,
  bytesPerSecondMin: 100_000,
  widthMin: 1,
  widthStart: 16,
  widthMax: 64,
  memoryBytes: 2_000_000,
  routeBytes: 1_000_000,
  routeBlobs: 64,
  throttlePatienceMs: 1_500,
};
const PATH = parseRepoPath('debian/dists/bookworm/InRelease');

function behind(
  container: ContainerClient,
  prefix: string,
): Pick<StoreUnderTest, 'read' | 'tamper'> {
  const blobAt = (path: RepoPath) =>
    container.getBlockBlobClient(prefix === '' ? path : `${prefix}/${path}`);
  return {
    read: async (path) => {
      const blob = blobAt(path);
      if (!(await blob.exists())) return null;
      const head = await blob.getProperties();
      const md5 = head.contentMD5 === undefined ? undefined : Buffer.from(head.contentMD5);
      return {
        bytes: await blob.downloadToBuffer(),
        contentType: head.contentType,
        cacheControl: head.cacheControl,
        md5,
      };
    },
    tamper: async (path, bytes) => {
      const blob = blobAt(path);
      const head = await blob.getProperties();
      // Put Block List stores any MD5 unchecked.
      const id = Buffer.alloc(24, 7).toString('base64');
      await blob.stageBlock(id, bytes, bytes.length);
      await blob.commitBlockList([id], {
        blobHTTPHeaders: { blobContentMD5: head.contentMD5! },
        metadata: head.metadata!,
      });
    },
  };
}

async function startStore(prefix: string): Promise<StoreUnderTest> {
  const site = await startAzuriteSite();
  const container = await site.container();
  const store = createAzureSiteStore(
    { name: 'fra', accountUrl: site.proxiedAccountUrl, container: container.containerName, prefix },
    site.credential,
    LIMITS,
  );
  return {
    store,
    proxy: site.proxy,
    putBytes: LIMITS.putBytes,
    ...behind(container, prefix),
    stop: () => site.stop(),
  };
}

siteStoreContract('AzureSiteStore on Azurite', () => startStore('apt/eu'));

describe('AzureSiteStore', () => {
  let site: AzuriteSite;
  before(async () => {
    site = await startAzuriteSite();
  });
  after(() => site?.stop());

  const storeIn = (
    container: string,
    credential: ConstructorParameters<typeof SasToken>[0] | null = null,
    prefix = '',
  ) =>
    createAzureSiteStore(
      { name: 'fra', accountUrl: site.proxiedAccountUrl, container, prefix },
      credential === null ? site.credential : new SasToken(credential),
      LIMITS,
    );

  it('writes one request for a small file and one per block for a large one', async () => {
    const container = await site.container();
    const store = storeIn(container.containerName);
    await site.proxy.clear();

    await store.put(PATH, contentOf(randomBytes(LIMITS.putBytes)), 'nothing', NEVER);
    await store.put(
      parseRepoPath('debian/large'),
      contentOf(randomBytes(LIMITS.putBytes * 2)),
      'nothing',
      NEVER,
    );

    const steps = (await site.proxy.requests()).map(
      ({ method, query }) => `${method} ${/comp=\w+/.exec(query)?.[0] ?? ''}`,
    );
    assert.deepEqual(steps, ['PUT ', 'PUT comp=block', 'PUT comp=block', 'PUT comp=blocklist']);
  });

  it('does not fail with connections that the site closed while they were idle', async (t) => {
    const container = await site.container();
    const target = new URL(site.accountUrl);
    const sockets = new Set<Socket>();
    // A site in front of which connections are lost unseen: this end of them answers what comes
    // next with a reset.
    const front = createServer((socket) => {
      const behind = connect(Number(target.port), target.hostname);
      socket.pipe(behind).pipe(socket);
      socket.on('error', () => behind.destroy());
      behind.on('error', () => socket.destroy());
      sockets.add(socket);
    });
    t.after(() => {
      front.close();
      for (const socket of sockets) socket.destroy();
    });
    front.listen(0, '127.0.0.1');
    await once(front, 'listening');
    const closeAll = () => {
      for (const socket of sockets)
        socket
          .unpipe()
          .once('data', () => socket.resetAndDestroy())
          .resume();
      sockets.clear();
    };
    const accountUrl = site.accountUrl.replace(
      target.port,
      String((front.address() as AddressInfo).port),
    );
    const store = createAzureSiteStore(
      { name: 'fra', accountUrl, container: container.containerName, prefix: '' },
      site.credential,
      LIMITS,
    );
    const pathOf = (at: number) => parseRepoPath(`debian/pool/${at}`);
    const putAll = (from: number) =>
      Promise.all(
        [...Array(10).keys()].map((at) =>
          store.put(pathOf(from + at), contentOf(Buffer.from('x')), 'nothing', NEVER),
        ),
      );
    await putAll(0);
    assert.ok(sockets.size >= 8, 'many connections are kept');

    closeAll();
    for (let at = 0; at < 10; at += 1)
      assert.notEqual(
        await store.put(pathOf(20 + at), contentOf(Buffer.from('x')), 'nothing', NEVER),
        'conflict',
      );
  });

  it('works at the root of a container, without a prefix', async () => {
    const container = await site.container();

    await storeIn(container.containerName).put(PATH, contentOf(Buffer.from('x')), 'nothing', NEVER);

    assert.ok(await container.getBlobClient(PATH).exists());
  });

  it('works with a SAS token', async () => {
    const container = await site.container();
    const store = storeIn(container.containerName, sasFor(container), 'apt');

    const outcome = await store.put(PATH, contentOf(Buffer.from('x')), 'nothing', NEVER);

    assert.ok(outcome !== 'conflict');
    assert.ok((await store.checksum(PATH, NEVER, outcome.etag)) !== null);
    assert.equal(await store.remove(PATH, outcome.etag, NEVER), 'gone');
  });

  it('says that the container is missing', async () => {
    const store = storeIn('never-made');

    await assert.rejects(
      store.put(PATH, contentOf(Buffer.from('x')), 'nothing', NEVER),
      refusesWith('SITE_CONTAINER_MISSING'),
    );
    await assert.rejects(store.checksum(PATH, NEVER), refusesWith('SITE_CONTAINER_MISSING'));
    await assert.rejects(store.remove(PATH, '"0x1"', NEVER), refusesWith('SITE_CONTAINER_MISSING'));
  });

  it('says that the credential is denied', async () => {
    const container = await site.container();
    const store = storeIn(container.containerName, sasFor(container, 'r'));

    await assert.rejects(
      store.put(PATH, contentOf(Buffer.from('x')), 'nothing', NEVER),
      refusesWith('SITE_DENIED'),
    );
  });

  it('says what a policy, a legal hold or a lease keeps, after one request', async () => {
    const container = await site.container();
    const store = storeIn(container.containerName);
    // As Azure answers; Azurite has no such policies.
    const refusals = [
      [409, 'BlobImmutableDueToPolicy', 'immutable due to a policy.'],
      [409, 'BlobImmutableDueToLegalHold', 'immutable due to one or more legal holds.'],
      [412, 'BlobImmutableDueToPolicy', 'immutable due to a policy.'],
      [409, 'SnapshotsPresent', 'The blob has snapshots.'],
      [412, 'LeaseIdMissing', 'There is currently a lease on the blob.'],
    ] as const;
    for (const [status, code, message] of refusals) {
      const headers = { 'x-ms-error-code': code, 'content-type': 'application/xml' };
      const body =
        '\uFEFF<?xml version="1.0" encoding="utf-8"?><Error>' +
        `<Code>${code}</Code><Message>It is not permitted: ${message}</Message></Error>`;
      await site.proxy.setRules([{ fault: { kind: 'answer', status, headers, body } }]);
      for (const call of [
        () => store.remove(PATH, '"0x1"', NEVER),
        () => store.put(PATH, contentOf(Buffer.from('x')), { etag: '"0x1"' }, NEVER),
      ]) {
        await site.proxy.clear();
        const error = await call().then(
          () => assert.fail(`${code} must fail`),
          (failure: unknown) => failure,
        );

        assert.ok(refusesWith('SITE_REFUSED')(error), code);
        assert.equal((error as DebgeoError).report.found, `${status} ${code}`);
        assert.equal((await site.proxy.requests()).length, 1, 'nothing is read, or tried again');
      }
    }
    await site.proxy.setRules([]);
  });

  it('lets no part of a SAS into an error', async () => {
    const container = await site.container();
    const sas = sasFor(container);
    const signature = new URLSearchParams(sas).get('sig')!;
    const store = storeIn(container.containerName, sas);
    const faults = [
      { kind: 'cut' },
      { kind: 'hang' },
      { kind: 'answer', status: 403 },
      { kind: 'answer', status: 503, headers: { 'retry-after': '100' } },
      { kind: 'answer', status: 400, body: '<not xml' },
      { kind: 'answer', status: 200, body: 'not a blob store' },
    ] as const;
    for (const fault of faults) {
      await site.proxy.setRules([{ fault }]);
      for (const call of [
        store.checksum(PATH, NEVER),
        store.put(PATH, contentOf(Buffer.from('x')), 'nothing', NEVER),
      ]) {
        const error = await call.then(
          () => assert.fail('it must fail'),
          (failure: unknown) => failure,
        );

        assert.ok(error instanceof DebgeoError, inspect(error));
        const shown = inspect(error, { depth: null, showHidden: true }) + JSON.stringify(error);
        for (const secret of [signature, encodeURIComponent(signature)])
          assert.ok(!shown.includes(secret));
        assert.ok(!(error.cause instanceof RestError));
      }
    }
    await site.proxy.setRules([]);
    assert.ok(!inspect(store, { depth: null }).includes(signature));
  });

  it('never reads on in another version when one breaks off', async () => {
    const container = await site.container();
    const store = storeIn(container.containerName);
    await store.put(PATH, contentOf(randomBytes(90_000)), 'nothing', NEVER);
    await site.proxy.setRules([
      { method: 'GET', times: 1, fault: { kind: 'truncate', bytes: 20_000 } },
    ]);
    await site.proxy.clear();

    await assert.rejects(store.checksum(PATH, NEVER), refusesWith('SITE_UNREACHABLE'));

    assert.equal((await site.proxy.requests()).length, 1);
  });

  function sasFor(container: ContainerClient, permissions = 'rwd'): string {
    return generateBlobSASQueryParameters(
      {
        containerName: container.containerName,
        permissions: ContainerSASPermissions.parse(permissions),
        protocol: SASProtocol.HttpsAndHttp,
        expiresOn: new Date(Date.now() + 3_600_000),
      },
      site.credential,
    ).toString();
  }
});
