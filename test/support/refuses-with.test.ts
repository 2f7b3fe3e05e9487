import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DebgeoError } from '../../src/domain/errors.ts';
import { refusesWith } from './refuses-with.ts';

const error = new DebgeoError('SITE_DENIED', 'may not write', { found: '403' });
const refuse = () => {
  throw error;
};

test('a refusal has its code and each fact that is given', () => {
  assert.throws(refuse, refusesWith('SITE_DENIED'));
  assert.throws(refuse, refusesWith('SITE_DENIED', { found: '403', message: /write$/ }));
});

test('another code, another fact, a missing fact and another kind of error are seen', () => {
  for (const other of [
    refusesWith('SITE_REFUSED'),
    refusesWith('SITE_DENIED', { found: '40' }),
    refusesWith('SITE_DENIED', { message: /read/ }),
    refusesWith('SITE_DENIED', { expected: /./ }),
  ])
    assert.throws(() => assert.throws(refuse, other), assert.AssertionError);
  const isRight = refusesWith('SITE_DENIED');
  assert.equal(isRight(Object.assign(new Error('may not write'), { code: 'SITE_DENIED' })), false);
});
