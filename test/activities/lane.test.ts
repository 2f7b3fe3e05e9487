import assert from 'node:assert/strict';
import test from 'node:test';
import { aPackage, startLanes } from './lanes.ts';

test('a captured generation is copied, checksummed, verified, published and probed', async (t) => {
  const lanes = await startLanes(t);
  const generation = await lanes.capture([aPackage('hello', '1.0'), aPackage('lib+x~1', '2.0')]);

  const { row } = await lanes.replicate(generation);

  assert.equal(row.served, generation);
  assert.equal(row.state, 'synced');
  assert.equal(row.filesDone, row.filesTotal);
  assert.equal(row.bytesDone, row.bytesTotal);
});
