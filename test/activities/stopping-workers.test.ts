/** Workers that stop, one after the other, as a deployment does it: Temporal counts no attempt. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { CancelledFailure } from '@temporalio/common';

import type { SiteStore } from '../../src/site/site-store.ts';
import { replicationOf } from '../support/replication-of.ts';
import { aPackage, inActivity, startLanes } from './lane/lanes.ts';

const AT = { distribution: 'bookworm', site: 'fra' };

/** As the SDK does it to an activity whose worker's grace is over. */
function stopping() {
  const controller = new AbortController();
  const stop = () => controller.abort(new CancelledFailure('WORKER_SHUTDOWN'));
  return { signal: controller.signal, stop };
}

test('a publication whose workers stop between two names goes on, and is no failure', async (t) => {
  const lanes = await startLanes(t);
  await lanes.replicate(await lanes.capture([aPackage('hello', '1.0')]));
  const generation = await lanes.capture([aPackage('hello', '2.0')]);
  const steps = lanes.activities();
  await inActivity(() => steps.syncBlobs({ ...AT, generation, plan: true }));
  const real = lanes.site().store;

  for (let workers = 0; workers < 3; workers += 1) {
    const { signal, stop } = stopping();
    const store: SiteStore = {
      site: real.site,
      checksum: (...args) => real.checksum(...args),
      open: (...args) => real.open(...args),
      remove: (...args) => real.remove(...args),
      put: async (path, content, expected, given) => {
        const written = await real.put(path, content, expected, given);
        stop();
        given.throwIfAborted();
        return written;
      },
    };
    const publishing = lanes.activities({ stores: new Map([['fra', store]]) });
    const { ticket } = await replicationOf(lanes.database.read, AT);
    const input = { ...AT, generation, ticket: ticket!, probe: true };
    const answer = await inActivity(() => publishing.publishSnapshot(input), { signal });
    assert.deepEqual(
      [answer.more, answer.row.publishing, answer.row.state, answer.row.code],
      [true, true, 'started', null],
    );
  }

  const { row } = await lanes.replicate(generation);
  assert.deepEqual([row.served, row.state, row.retryCount], [generation, 'synced', 0]);
});

test('a capture whose worker stops says so, and the next one captures', async (t) => {
  const lanes = await startLanes(t);
  await lanes.capture([aPackage('hello', '1.0')]);
  const content = await lanes.archives.get('bookworm')!.prepare([aPackage('hello', '2.0')]);
  await lanes.archives.get('bookworm')!.write(content.files);
  const { signal, stop } = stopping();
  const deps = lanes.deps();
  const activities = lanes.activities({
    archiveOf: async (record) => {
      const archive = await deps.archiveOf(record);
      return {
        close: () => archive.close(),
        fetchReleaseSet: (...args) => archive.fetchReleaseSet(...args),
        open: (path, size, given) => {
          stop();
          given.throwIfAborted();
          return archive.open(path, size, given);
        },
      };
    },
  });
  const input = { distribution: 'bookworm', unconditional: true };

  const interrupted = await inActivity(() => activities.captureSnapshot(input), { signal });
  const captured = await inActivity(() => lanes.activities().captureSnapshot(input));

  assert.deepEqual([interrupted.outcome, interrupted.roster.code], ['interrupted', null]);
  assert.deepEqual([captured.outcome, captured.generation], ['captured', 2]);
});
