import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { LIMITS } from '../../src/domain/limits.ts';

describe('limits', () => {
  it('are whole numbers above zero', () => {
    for (const [name, limit] of Object.entries(LIMITS))
      assert.ok(Number.isSafeInteger(limit) && limit > 0, name);
  });

  it('fit each other', () => {
    assert.ok(LIMITS.releaseBytes < LIMITS.indexBytes && LIMITS.indexBytes < LIMITS.blobBytes);
    assert.ok(LIMITS.deb822LineBytes <= LIMITS.deb822StanzaBytes);
    assert.ok(LIMITS.deb822LineBytes > 75_649);
    assert.ok(LIMITS.backoffInitialMs < LIMITS.backoffCapMs);
    assert.ok(LIMITS.putBytes <= LIMITS.batchBytes);
  });

  it('stay within what Azure stores: 50,000 blocks, 254 segments', () => {
    assert.ok(LIMITS.blobBytes <= 50_000 * LIMITS.putBytes);
    assert.ok(LIMITS.pathSegments + LIMITS.mountBytes / 2 + LIMITS.prefixBytes / 2 <= 254);
  });
});
