import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { LIMITS } from '../../src/domain/limits.ts';
import { parseRetryAfter } from '../../src/domain/retry-after.ts';

describe('parseRetryAfter', () => {
  const now = Date.parse('Sat, 10 Feb 2024 11:07:25 GMT');

  it('reads seconds and dates', () => {
    assert.equal(parseRetryAfter('7', now), 7_000);
    assert.equal(parseRetryAfter(' 7 ', now), 7_000);
    assert.equal(parseRetryAfter('Sat, 10 Feb 2024 11:07:35 GMT', now), 10_000);
  });

  it('takes a date that is over for no wait, and heeds nothing beyond the bound', () => {
    assert.equal(parseRetryAfter('Sat, 10 Feb 2024 11:07:15 GMT', now), 0);
    assert.equal(parseRetryAfter('9'.repeat(400), now), LIMITS.retryAfterMs);
    assert.equal(parseRetryAfter('7', now, 5_000), 5_000);
  });

  it('says null for a header that is missing or says nothing', () => {
    for (const header of [null, undefined, '', 'soon', '-1x'])
      assert.equal(parseRetryAfter(header, now), null, String(header));
  });
});
