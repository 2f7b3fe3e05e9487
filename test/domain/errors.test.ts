import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import {
  DebgeoError,
  type ErrorCode,
  isErrorCode,
  ruleOf,
  RULES,
} from '../../src/domain/errors.ts';

/** A command in backticks, or a verb of what the operator does. */
const VERBS =
  'add|allow|ask|check|choose|compare|correct|create|empty|find out|get|give|let|read|run|set|' +
  'start|stop|tell';
const SAYS_WHAT_TO_DO = new RegExp(`^(?:nothing: |\`debgeo |(?:if [^,:;]+, )?(?:${VERBS}) )`);

const codes = Object.keys(RULES) as ErrorCode[];

describe('error codes', () => {
  it('each say why, what happens next, how a command ends, and what to do', () => {
    assert.ok(codes.length > 0);
    for (const code of codes) {
      const rule = ruleOf(code);
      assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
      assert.ok(['backoff', 'person', 'at-once'].includes(rule.then), code);
      assert.ok([1, 2, 3, 4, 5].includes(rule.exit), code);
      assert.ok(rule.remedy.length >= 10, code);
      assert.match(rule.remedy, SAYS_WHAT_TO_DO, code);
      assert.ok(rule.cause.length >= 10, code);
    }
  });

  it('never park what is only unreachable or throttled', () => {
    for (const code of codes.filter((name) =>
      /^(ARCHIVE|SITE)_(UNREACHABLE|THROTTLED|STALLED)$/.test(name),
    )) {
      assert.equal(ruleOf(code).then, 'backoff', code);
      assert.equal(ruleOf(code).exit, 4, code);
    }
  });

  it('tell their own from any other value', () => {
    for (const code of codes) assert.equal(isErrorCode(code), true);
    for (const other of [
      '',
      'toString',
      '__proto__',
      'hasOwnProperty',
      'unknown',
      null,
      undefined,
      3,
      {},
      ['UNKNOWN'],
    ])
      assert.equal(isErrorCode(other), false);
  });
});

describe('DebgeoError', () => {
  it('reports plain JSON, without its cause', () => {
    const error = new DebgeoError(
      'BLOB_MISMATCH',
      'differs',
      { expected: 'a', found: 'b', retryAfterMs: 5 },
      new Error('secret'),
    );

    assert.equal(error.code, 'BLOB_MISMATCH');
    assert.deepEqual(JSON.parse(JSON.stringify(error.report)), {
      code: 'BLOB_MISMATCH',
      message: 'differs',
      expected: 'a',
      found: 'b',
      retryAfterMs: 5,
    });
    assert.ok(error instanceof Error && error.cause instanceof Error);
  });

  it('has no cause when none is given', () => {
    assert.equal('cause' in new DebgeoError('UNKNOWN', 'x'), false);
  });
});
