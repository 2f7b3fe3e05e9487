import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import {
  ActivityFailure,
  ApplicationFailure,
  type ApplicationFailureOptions,
  TimeoutFailure,
  TimeoutType,
  RetryState,
} from '@temporalio/common';

import type { ErrorReport } from '../../src/domain/errors.ts';
import { siteOf } from '../../workflows/commands.ts';
import { reportOf } from '../../workflows/report-of.ts';
import { assertPrintable, HOSTILE_STRINGS, NO_STRINGS } from '../support/hostile-strings.ts';

const recorded = (cause: Error): ErrorReport =>
  reportOf(
    new ActivityFailure(
      'Activity task failed',
      'syncBlobs',
      '1',
      RetryState.NON_RETRYABLE_FAILURE,
      'w',
      cause,
    ),
  );
const recordedOf = (options: ApplicationFailureOptions): ErrorReport =>
  recorded(ApplicationFailure.create(options));

describe('reportOf', () => {
  test('an activity that failed with a report is recorded with that report', () => {
    const report: ErrorReport = {
      code: 'SITE_DENIED',
      message: 'no',
      expected: '201',
      found: '403',
      state: 'nothing changed',
      retryAfterMs: 5,
    };

    assert.deepEqual(recordedOf({ type: 'SITE_DENIED', message: 'no', details: [report] }), report);
  });

  test('a code without a report is enough', () => {
    assert.equal(recordedOf({ type: 'SITE_STALLED', message: 'late' }).code, 'SITE_STALLED');
  });

  test('a worker that was lost or hung is STALLED', () => {
    const lost = new TimeoutFailure('activity Heartbeat timeout', undefined, TimeoutType.HEARTBEAT);

    assert.equal(recorded(lost).code, 'STALLED');
  });

  test('a failure without a code of ours is UNKNOWN, whatever it carries', () => {
    const message = 'x is undefined';
    for (const details of [
      [],
      ['text'],
      [null],
      [{ code: 'NO_SUCH_CODE' }],
      [{ code: 'toString' }],
    ])
      assert.equal(recordedOf({ type: 'TypeError', message, details }).code, 'UNKNOWN');
    assert.equal(reportOf(new Error('bug')).code, 'UNKNOWN');
  });

  test('an error page does not get into histories', () => {
    const page = 'x'.repeat(1e6);
    const detail = { code: 'SITE_REFUSED', message: page, found: page };

    assert.ok(JSON.stringify(recorded(new Error(page))).length < 2_000);
    assert.ok(JSON.stringify(recordedOf({ details: [detail] })).length < 3_000);
  });
});

describe('reportOf, of a worker of another version', () => {
  for (const [name, text] of Object.entries(HOSTILE_STRINGS))
    test(`records ${name}, printable and bounded`, () => {
      const detail = {
        code: 'SITE_REFUSED',
        message: text,
        expected: text,
        found: text,
        state: text,
      };
      assertPrintable(recordedOf({ details: [detail] }), name);
      assertPrintable(recordedOf({ type: 'SITE_REFUSED', message: text }), name);
      assertPrintable(recorded(new Error(text)), name);
    });

  test('records what is no text', () => {
    for (const value of NO_STRINGS) {
      const detail = { code: 'SITE_REFUSED', message: value, found: value, retryAfterMs: value };
      assertPrintable(recordedOf({ details: [detail] }), String(typeof value));
    }
  });
});

describe('siteOf', () => {
  test('nothing means all sites, a name one, anything else nothing', () => {
    for (const all of [undefined, null, {}]) assert.equal(siteOf(all), 'all');
    assert.deepEqual(siteOf({ site: 'fra' }), { name: 'fra' });
    for (const malformed of [
      'fra',
      1,
      true,
      [],
      ['fra'],
      { site: 1 },
      { sites: ['fra'] },
      { site: 'fra', all: true },
    ])
      assert.equal(siteOf(malformed), 'malformed');
  });
});
