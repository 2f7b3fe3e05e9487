import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';

import { withHeartbeat } from '../../activities/context.ts';
import { failing, failureOf } from '../../activities/failure.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { inActivity } from './lane/lanes.ts';

const running = new AbortController().signal;

test('an error with a code becomes a failure that Temporal does not retry', async () => {
  const error = new DebgeoError('SITE_THROTTLED', 'slow down', {
    retryAfterMs: 5_000,
    found: '503',
  });

  const failure = await inActivity(failing(() => Promise.reject(error))).catch(
    (thrown: unknown) => thrown,
  );

  assert.ok(failure instanceof ApplicationFailure);
  assert.deepEqual(
    [failure.type, failure.nonRetryable, failure.details],
    ['SITE_THROTTLED', true, [error.report]],
  );
});

test('any error that is thrown after a cancellation is the cancellation', () => {
  const cancelled = AbortSignal.abort(new CancelledFailure('CANCELLED'));

  for (const error of [
    new DebgeoError('SITE_STALLED', ''),
    new DOMException('', 'AbortError'),
    new Error('socket'),
  ])
    assert.ok(failureOf(error, cancelled) instanceof CancelledFailure);
});

test('an abort without a cancellation is STALLED', () => {
  for (const name of ['AbortError', 'TimeoutError']) {
    const failure = failureOf(new DOMException('', name), running);

    assert.ok(failure instanceof ApplicationFailure);
    assert.equal(failure.type, 'STALLED');
  }
});

test('an error without a code stays as it is, for Temporal to retry', () => {
  const error = new TypeError('a bug');

  assert.equal(failureOf(error, running), error);
});

test(
  'heartbeats come by themselves while the work waits, and end with it',
  { timeout: 10_000 },
  async () => {
    const beats: Readonly<Record<string, number>>[] = [];
    const context = {
      attempt: 1,
      signal: running,
      heartbeat: (counts: Readonly<Record<string, number>>) => void beats.push(counts),
    };

    await withHeartbeat(
      context,
      () => ({ done: beats.length }),
      async () => {
        while (beats.length < 2) await wait(50);
      },
    );

    assert.deepEqual(beats, [{ done: 0 }, { done: 1 }]);
  },
);
