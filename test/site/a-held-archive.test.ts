/**
 * Five files of one archive come to a site and never get there: no byte of them moves. What another
 * archive has for the same site does not wait for them.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { LIMITS } from '../../src/domain/limits.ts';
import { parseRepoPath } from '../../src/domain/repo-path.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import { createAzureSiteStore } from '../../src/site/azure-site-store.ts';
import type { BlobContent, SiteStore } from '../../src/site/site-store.ts';
import { turnFirst } from '../support/turn-first.ts';
import { startAzuriteSite, type AzuriteSite } from './azurite-site.ts';
import { contentOf, written } from './store-under-test.ts';

const FILES = 5;
const DEADLINE_MS = 20_000;
/** What a planted fault keeps waiting does not come at all. */
const PLANTED_MS = 3_000;
/** What is copied beside them: as many blobs as have turns at once, one in blocks, an empty one. */
const SIZES = [...Array<number>(LIMITS.widthMax).fill(100), LIMITS.putBytes + 1, 0];

type Stores = (container: string) => { readonly held: SiteStore; readonly other: SiteStore };

describe('a site before which five files of an archive are held', () => {
  let site: AzuriteSite;
  before(async () => {
    site = await startAzuriteSite();
  });
  after(() => site.stop());

  const storeIn = (container: string) =>
    createAzureSiteStore(
      { name: 'fra', accountUrl: site.accountUrl, container, prefix: '' },
      site.credential,
    );

  const promise = async (stores: Stores, heldBytes: number, deadlineMs = DEADLINE_MS) => {
    const gate = new AbortController();
    const { held, other } = stores((await site.container()).containerName);
    const holding = Array.from({ length: FILES }, (_, at) =>
      held.put(
        parseRepoPath(`slow/pool/${at}`),
        heldContent(heldBytes, gate.signal),
        'nothing',
        gate.signal,
      ),
    );
    const ended = Promise.allSettled(holding);
    await sleep(50);
    const copied = Promise.all(
      SIZES.map(async (size, at) => {
        const path = parseRepoPath(`debian/pool/${at}`);
        const bytes = randomBytes(size);
        const { etag } = written(await other.put(path, contentOf(bytes), 'nothing', gate.signal));
        const found = await other.checksum(path, gate.signal, etag);
        assert.ok(found !== null && found !== 'changed');
        assert.equal(found.sha256, sha256Of(bytes));
      }),
    );
    const late = sleep(deadlineMs, 'late', { signal: gate.signal });
    late.catch(() => undefined);
    copied.catch(() => undefined);
    try {
      assert.notEqual(await Promise.race([copied, late]), 'late', 'the other archive waits');
    } finally {
      gate.abort(new Error('the test is over'));
      for (const one of await ended) assert.equal(one.status, 'rejected');
    }
  };

  const asTheyAre: Stores = (container) => {
    const store = storeIn(container);
    return { held: store.forArchive('slow'), other: store.forArchive('debian') };
  };

  it('takes the blobs of another archive, files of one request', () =>
    promise(asTheyAre, LIMITS.putBytes));
  it('takes the blobs of another archive, files in blocks', () =>
    promise(asTheyAre, 3 * LIMITS.putBytes));

  it('it would be seen if a turn were taken before the bytes are there', async () => {
    const planted: Stores = (container) => {
      const { held, other } = asTheyAre(container);
      const around = turnFirst();
      return { held: around(held), other: around(other) };
    };

    await assert.rejects(promise(planted, LIMITS.putBytes, PLANTED_MS), {
      message: 'the other archive waits',
    });
  });

  it('it would be seen if all archives had one memory', async () => {
    const oneRoute: Stores = (container) => {
      const store = storeIn(container);
      return { held: store, other: store };
    };

    await assert.rejects(promise(oneRoute, LIMITS.putBytes, PLANTED_MS), {
      message: 'the other archive waits',
    });
  });
});

/** One byte, and then none until the reader gives up. */
function heldContent(size: number, signal: AbortSignal): BlobContent {
  return {
    ...contentOf(Buffer.alloc(1)),
    size,
    bytes: (async function* () {
      yield Buffer.alloc(1);
      await once(signal, 'abort');
      throw signal.reason;
    })(),
  };
}
