import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';

import type { ContainerClient } from '@azure/storage-blob';

import type { DebgeoError, ErrorCode } from '../../src/domain/errors.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import { readPublic } from '../../src/site/read-public.ts';
import { refusesWith } from '../support/refuses-with.ts';
import { startAzuriteSite, type AzuriteSite } from './azurite-site.ts';

const NEVER = new AbortController().signal;
const PATIENCE = { stallMs: 500, bytesPerSecondMin: 100_000 };
const PATH = parseRepoPath('debian/dists/bookworm/InRelease');

describe('readPublic', () => {
  let site: AzuriteSite;
  let container: ContainerClient;
  let publicUrl: string;

  before(async () => {
    site = await startAzuriteSite();
    container = await site.container('blob');
    publicUrl = `${site.proxiedAccountUrl}/${container.containerName}/apt`;
  });
  after(() => site?.stop());
  beforeEach(async () => {
    await site.proxy.setRules([]);
    await site.proxy.clear();
  });

  const write = async (path: string, bytes: Buffer) => {
    const answer = await container.getBlockBlobClient(`apt/${path}`).upload(bytes, bytes.length);
    return answer.lastModified!.getTime();
  };

  it('reads size, hash and Last-Modified of what is there', async () => {
    const bytes = randomBytes(200_000);
    const lastModified = await write(PATH, bytes);

    const read = await readPublic(publicUrl, PATH, bytes.length, NEVER);

    assert.deepEqual(read, { size: bytes.length, sha256: sha256Of(bytes), lastModified });
  });

  it('answers null for what is not there', async () => {
    assert.equal(await readPublic(publicUrl, parseRepoPath('debian/absent'), 10, NEVER), null);
  });

  it('asks in the spelling of apt, also behind a slash', async () => {
    const path = parseRepoPath('debian/pool/main/g/g++ ü_1.0+b1~rc%3a2:3_all.deb');
    await write(path, Buffer.from('x'));

    const read = await readPublic(`${publicUrl}/`, path, 10, NEVER);

    assert.equal(read?.sha256, sha256Of(Buffer.from('x')));
    const [request] = await site.proxy.requests();
    assert.ok(
      request?.path.endsWith(
        '/apt/debian/pool/main/g/g%2b%2b%20%c3%bc_1.0%2bb1%7erc%253a2:3_all.deb',
      ),
      request?.path,
    );
  });

  it('says that Azurite does not let the public read, or has no such container', async () => {
    const closed = await site.container();
    await closed.getBlockBlobClient(`apt/${PATH}`).upload('x', 1);
    const url = `${site.proxiedAccountUrl}/${closed.containerName}/apt`;

    const nowhere = `${site.proxiedAccountUrl}/never-made/apt`;

    await assert.rejects(readPublic(url, PATH, 10, NEVER), refusesWith('SITE_NOT_PUBLIC'));
    await assert.rejects(readPublic(nowhere, PATH, 10, NEVER), refusesWith('SITE_NOT_PUBLIC'));
  });

  it('answers null for the 404 of Azure, of a private container, too', async () => {
    await site.proxy.setRules([
      {
        fault: { kind: 'answer', status: 404, headers: { 'x-ms-error-code': 'ResourceNotFound' } },
      },
    ]);

    assert.equal(await readPublic(publicUrl, PATH, 10, NEVER), null);
  });

  it('says what other statuses mean, and follows no redirect', async () => {
    const cases: [number, Record<string, string>, ErrorCode][] = [
      [401, {}, 'SITE_NOT_PUBLIC'],
      [403, {}, 'SITE_NOT_PUBLIC'],
      [409, { 'x-ms-error-code': 'PublicAccessNotPermitted' }, 'SITE_NOT_PUBLIC'],
      [400, {}, 'SITE_REFUSED'],
      [301, { location: `${publicUrl}/elsewhere` }, 'SITE_REFUSED'],
      [206, {}, 'SITE_REFUSED'],
      [500, {}, 'SITE_UNREACHABLE'],
      [429, { 'retry-after': '9' }, 'SITE_THROTTLED'],
      [503, { 'retry-after': '9' }, 'SITE_THROTTLED'],
    ];
    for (const [status, headers, code] of cases) {
      await site.proxy.setRules([{ fault: { kind: 'answer', status, headers } }]);
      await site.proxy.clear();

      const error = await readPublic(publicUrl, PATH, 10, NEVER).then(
        () => assert.fail(`${status} must fail`),
        (failure: unknown) => failure,
      );

      assert.ok(refusesWith(code)(error), `${status}`);
      assert.equal(
        (error as DebgeoError).report.retryAfterMs,
        code === 'SITE_THROTTLED' ? 9000 : undefined,
      );
      assert.equal((await site.proxy.requests()).length, 1);
    }
  });

  it('stops at more bytes than can be right', async () => {
    await write(PATH, randomBytes(1000));

    await assert.rejects(readPublic(publicUrl, PATH, 999, NEVER), refusesWith('SITE_SERVES_OTHER'));
  });

  it('says unreachable for a truncated body, a cut connection and a refused one', async () => {
    await write(PATH, randomBytes(200_000));
    await site.proxy.setRules([{ fault: { kind: 'truncate', bytes: 70_000 } }]);
    await assert.rejects(
      readPublic(publicUrl, PATH, 200_000, NEVER),
      refusesWith('SITE_UNREACHABLE'),
    );

    await site.proxy.setRules([{ fault: { kind: 'cut' } }]);
    await assert.rejects(
      readPublic(publicUrl, PATH, 200_000, NEVER),
      refusesWith('SITE_UNREACHABLE'),
    );

    await site.proxy.refuse(true);
    try {
      await assert.rejects(
        readPublic(publicUrl, PATH, 200_000, NEVER),
        refusesWith('SITE_UNREACHABLE'),
      );
    } finally {
      await site.proxy.refuse(false);
    }
  });

  it('asks once more when a connection breaks instead of an answer', async () => {
    const bytes = randomBytes(200_000);
    await write(PATH, bytes);
    await site.proxy.setRules([{ times: 1, fault: { kind: 'cut' } }]);

    const blob = await readPublic(publicUrl, PATH, 200_000, NEVER);

    assert.equal(blob?.size, bytes.length);
  });

  it('ends a request that stalls before or in the answer', async () => {
    await write(PATH, randomBytes(200_000));
    for (const fault of [{ kind: 'hang' }, { kind: 'stall', bytes: 70_000 }] as const) {
      await site.proxy.setRules([{ fault }]);

      await assert.rejects(
        readPublic(publicUrl, PATH, 200_000, NEVER, PATIENCE),
        refusesWith('SITE_STALLED'),
      );
    }
  });

  it("ends with the caller's own reason", async () => {
    const reason = new Error('cancelled by an operator');
    await site.proxy.setRules([{ fault: { kind: 'hang' } }]);
    const controller = new AbortController();

    const read = readPublic(publicUrl, PATH, 10, controller.signal);
    setTimeout(() => controller.abort(reason), 50);

    await assert.rejects(read, reason);
    await assert.rejects(readPublic(publicUrl, PATH, 10, AbortSignal.abort(reason)), reason);
  });
});
