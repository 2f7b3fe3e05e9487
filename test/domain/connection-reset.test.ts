import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { onceMoreAfterReset } from '../../src/domain/connection-reset.ts';

const withCode = (code: string) => Object.assign(new Error(code), { code });

describe('onceMoreAfterReset', () => {
  it('sends once more after a reset, and only once', async () => {
    const reset = () => Promise.reject(withCode('ECONNRESET'));
    assert.equal(await onceMoreAfterReset(reset, () => Promise.resolve('answer')), 'answer');
    await assert.rejects(
      onceMoreAfterReset(reset, () => Promise.reject(withCode('EPIPE'))),
      {
        code: 'EPIPE',
      },
    );
  });

  it('passes on every other error, and every answer', async () => {
    let again = 0;
    const count = () => Promise.resolve(++again);
    await assert.rejects(
      onceMoreAfterReset(() => Promise.reject(withCode('ECONNREFUSED')), count),
      { code: 'ECONNREFUSED' },
    );
    assert.equal(await onceMoreAfterReset(() => Promise.resolve(7), count), 7);
    assert.equal(again, 0);
  });
});
