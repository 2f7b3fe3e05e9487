import assert from 'node:assert/strict';
import test from 'node:test';

import { DebgeoError } from '../src/domain/errors.ts';
import { createLog, sdkLoggerInto } from '../src/log.ts';
import { HOSTILE_STRINGS, isPrintable, NO_STRINGS } from './support/hostile-strings.ts';
import { refusesWith } from './support/refuses-with.ts';

const written = (log: (into: ReturnType<typeof createLog>) => void): Record<string, unknown>[] => {
  const lines: string[] = [];
  log(createLog({ level: 'trace', into: { write: (line) => void lines.push(line) } }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
};

test('an error is logged with its code, or else its stack, and without its request', () => {
  const request = { headers: { authorization: 'Bearer canary' } };
  const cause = Object.assign(new Error('connection reset'), { code: 'ECONNRESET', request });
  const lines = written((log) => {
    log.warn(
      { error: new DebgeoError('SITE_DENIED', 'may not write', { found: '403' }, cause) },
      'known',
    );
    log.error({ cause: Object.assign(new TypeError('a bug'), { request }) }, 'unknown');
    log.error(Object.assign(new Error('x'.repeat(5_000)), { request }), 'long');
  });

  const [known, unknown, long] = lines as [
    { error: object },
    { cause: { stack: string } },
    { err: { message: string } },
  ];
  assert.deepEqual(
    { ...known.error, cause: undefined },
    { code: 'SITE_DENIED', message: 'may not write', found: '403', cause: undefined },
  );
  assert.match(unknown.cause.stack, /log\.test\.ts/);
  assert.ok(long.err.message.length < 2_000);
  assert.doesNotMatch(JSON.stringify(lines), /canary/);
});

test('a line of the SDK names the distribution or site, and the run once', () => {
  const [ofDistribution, ofSite] = written((log) => {
    const sdk = sdkLoggerInto(log);
    sdk.warn('Activity failed', {
      workflowId: 'distribution/bookworm',
      workflowRunId: 'r',
      taskToken: 'AAAA',
      attempt: 2,
    });
    sdk.info('Workflow started', { workflowId: 'site/fra', runId: 'r' });
  });

  assert.deepEqual(
    [
      ofDistribution!['distribution'],
      ofDistribution!['runId'],
      ofDistribution!['attempt'],
      ofDistribution!['taskToken'],
    ],
    ['bookworm', 'r', 2, undefined],
  );
  assert.deepEqual([ofSite!['site'], ofSite!['runId']], ['fra', 'r']);
});

test('a level that does not exist is a usage error', (t) => {
  process.env['DEBGEO_LOG_LEVEL'] = 'loud';
  t.after(() => delete process.env['DEBGEO_LOG_LEVEL']);

  assert.throws(() => createLog(), refusesWith('CONFIG_INVALID'));
});

/** One line of JSON each, whose end is its only control, and no more than a page. */
function assertFit(lines: readonly string[]): void {
  for (const line of lines) {
    assert.ok(isPrintable(line.slice(0, -1)), JSON.stringify(line.slice(0, 300)));
    assert.ok(line.endsWith('\n') && line.length < 40_000, `${line.length} characters`);
    JSON.parse(line);
  }
}

test('a line quotes whatever an archive, a site or a signal says, printable and bounded', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'trace', into: { write: (line) => void lines.push(line) } });
  const sdk = sdkLoggerInto(log);
  for (const text of [...Object.values(HOSTILE_STRINGS), ...NO_STRINGS] as string[]) {
    const cause = Object.assign(new Error(), {
      message: text,
      code: text,
      stack: `Error\n    at x`,
    });
    const report = { code: 'UNKNOWN', message: text, found: text };
    log.warn({ report, path: text, site: 'fra' }, 'capture failed');
    log.error({ error: new DebgeoError('UNKNOWN', text, { found: text }, cause) }, 'known');
    log.error({ error: text, cause, err: cause }, 'unknown');
    log.error(cause);
    log.warn(text);
    sdk.warn('signal ignored', { signal: text, argument: [{ [String(typeof text)]: text }, text] });
    sdk.error(text, { error: cause, workflowId: text });
  }
  log.warn({ argument: Array.from({ length: 100_000 }, () => 'x') }, 'a long list');

  assertFit(lines);
  assert.equal(lines.length, 7 * (Object.keys(HOSTILE_STRINGS).length + NO_STRINGS.length) + 1);
  assert.throws(() => assertFit(['{"planted":"\u009b2J"}\n']));
});
