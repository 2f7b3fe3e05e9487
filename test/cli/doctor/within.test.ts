import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';

import { within } from '../../../src/cli/doctor/within.ts';
import { DebgeoError } from '../../../src/domain/errors.ts';
import { refusesWith } from '../../support/refuses-with.ts';

const late = () => new DebgeoError('SITE_STALLED', 'no answer');
const isStalled = refusesWith('SITE_STALLED');

test('work that does not end in time is late, in whatever way it takes the abort', async () => {
  const silent = async (signal: AbortSignal) => void (await once(signal, 'abort'));
  const throwsReason = async (signal: AbortSignal) =>
    silent(signal).then(() => signal.throwIfAborted());
  const throwsOwn = async (signal: AbortSignal) =>
    silent(signal).then(() => Promise.reject(new DOMException('ended', 'AbortError')));

  await assert.rejects(within(late, throwsReason, 1), isStalled);
  await assert.rejects(within(late, throwsOwn, 1), isStalled);
});

test('work that fails by itself keeps its error, late or not', async () => {
  const wrong = new DebgeoError('SITE_DENIED', 'may not write');

  await assert.rejects(
    within(late, () => Promise.reject(wrong)),
    wrong,
  );
  await assert.rejects(
    within(late, async (signal) => once(signal, 'abort').then(() => Promise.reject(wrong)), 1),
    wrong,
  );
  assert.equal(await within(late, async () => 7), 7);
});
