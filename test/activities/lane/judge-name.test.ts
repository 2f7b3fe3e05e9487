import assert from 'node:assert/strict';
import test from 'node:test';

import { judgeName } from '../../../activities/lane/judge-name.ts';
import { parseRepoPath } from '../../../src/domain/repo-path.ts';
import type { Sha256 } from '../../../src/domain/sha256.ts';
import { refusesWith } from '../../support/refuses-with.ts';

const path = parseRepoPath('dists/bookworm/InRelease');
const digest = (letter: string) => letter.repeat(64) as Sha256;
const [OLD, NEW, OTHER] = [digest('a'), digest('b'), digest('c')];
const wants = (sha256: Sha256 | null) => ({ path, sha256, size: 1 });
const left = (sha256: Sha256 | null, etag: string | null) => ({ sha256, etag, lastModified: 0 });
const sees = (sha256: Sha256, etag: string) => ({ sha256, etag, size: 1, lastModified: 0 });

test('wanted bytes are right under any ETag, and so is wanted absence', () => {
  assert.deepEqual(judgeName(wants(NEW), left(OLD, '1'), sees(NEW, '9')), { is: 'right' });
  assert.deepEqual(judgeName(wants(null), left(OLD, '1'), null), { is: 'right' });
});

test('bytes that we left there are replaced under their ETag', () => {
  assert.deepEqual(judgeName(wants(NEW), left(OLD, '1'), sees(OLD, '1')), {
    is: 'to write',
    expected: { etag: '1' },
    corrupt: false,
  });
  assert.deepEqual(judgeName(wants(null), left(OLD, '1'), sees(OLD, '1')), {
    is: 'to write',
    expected: { etag: '1' },
    corrupt: false,
  });
});

test('other bytes under our ETag are rot: replaced, and on record', () => {
  assert.deepEqual(judgeName(wants(NEW), left(NEW, '1'), sees(OTHER, '1')), {
    is: 'to write',
    expected: { etag: '1' },
    corrupt: true,
  });
});

test('a name that was lost is written where nothing is, and on record', () => {
  assert.deepEqual(judgeName(wants(NEW), left(OLD, '1'), null), {
    is: 'to write',
    expected: 'nothing',
    corrupt: true,
  });
  assert.deepEqual(judgeName(wants(NEW), left(null, null), null), {
    is: 'to write',
    expected: 'nothing',
    corrupt: false,
  });
});

test('other bytes under another ETag are another program’s: refused', () => {
  const foreign = refusesWith('FOREIGN_WRITE');
  assert.throws(() => judgeName(wants(NEW), left(OLD, '1'), sees(OTHER, '2')), foreign);
  assert.throws(() => judgeName(wants(NEW), left(null, null), sees(OTHER, '2')), foreign);
  assert.throws(() => judgeName(wants(null), left(OLD, '1'), sees(OTHER, '2')), foreign);
});
