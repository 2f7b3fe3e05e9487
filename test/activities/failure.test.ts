import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

import { ApplicationFailure, CancelledFailure } from '@temporalio/activity';

import { withHeartbeat } from '../../activities/context.ts';
import { failing, failureOf } from '../../activities/failure.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { HOSTILE_STRINGS, isPrintable } from '../support/hostile-strings.ts';
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

/** As the driver of PostgreSQL throws it. */
const fromPostgres = (code: string, severity = 'ERROR'): Error =>
  Object.assign(new Error('invalid input syntax for type json'), { code, severity });

test('what PostgreSQL never stores is refused at once, a constraint at the third time', () => {
  const typeAt = (error: Error, tries: number): unknown =>
    (failureOf(error, running, tries) as Partial<ApplicationFailure>).type;

  for (const code of ['22P02', '22P05', '22021', '08P01'])
    assert.equal(typeAt(fromPostgres(code), 1), 'DATABASE_REFUSED', code);
  assert.deepEqual(
    [1, 2, 3, 4].map((tries) => typeAt(fromPostgres('23505'), tries)),
    [undefined, undefined, 'DATABASE_REFUSED', 'DATABASE_REFUSED'],
  );
  for (const transient of [
    fromPostgres('40001'),
    fromPostgres('57P01', 'FATAL'),
    fromPostgres('53300', 'FATAL'),
    fromPostgres('08P01', 'FATAL'),
    Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
    Object.assign(new Error('22P02'), { code: '22P02' }),
  ])
    assert.equal(failureOf(transient, running, 99), transient, 'Temporal retries it');
});

/** The failure and all of its causes, as Temporal's SDK sends them. */
function* sentOf(failure: unknown): Generator<string> {
  for (let error = failure; error instanceof Error; error = error.cause)
    yield* [error.name, error.message, error.stack ?? ''];
}

for (const [name, text] of Object.entries(HOSTILE_STRINGS))
  test(`Temporal is told of ${name} in printable text, causes included`, () => {
    const cause = Object.assign(new TypeError(text), { stack: `TypeError: ${text}\n    at x` });
    for (const error of [
      new DebgeoError('SITE_REFUSED', text, { found: text }, cause),
      new Error(text, { cause }),
      Object.assign(new Error('abort', { cause }), { name: 'AbortError' }),
      Object.assign(fromPostgres('22P02'), { message: text }),
      text,
    ]) {
      const sent = [...sentOf(failureOf(error, running))];
      assert.ok(sent.length > 0);
      for (const one of sent) {
        assert.ok(isPrintable(one, '\n'), JSON.stringify(one.slice(0, 200)));
        assert.ok(one.length <= 10_000);
      }
    }
  });

test('causes of causes are told of, up to a few', () => {
  let error = new Error('0');
  for (let depth = 1; depth < 50; depth += 1) error = new Error(String(depth), { cause: error });

  assert.ok([...sentOf(failureOf(error, running))].length <= 15);
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
