import assert from 'node:assert/strict';
import { it } from 'node:test';

import { isSha256, sha256FromBytes, sha256Of } from '../../src/domain/sha256.ts';

it('sha256Of gives the digest of FIPS 180-2 in lower-case hex, and isSha256 knows it', () => {
  const digest = sha256Of(Buffer.from('abc'));

  assert.equal(digest, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  assert.equal(sha256FromBytes(Buffer.from(digest, 'hex')), digest);
  for (const other of ['', digest.toUpperCase(), digest.slice(1), `${digest}0`, `${digest}\n`])
    assert.equal(isSha256(other), false);
});
