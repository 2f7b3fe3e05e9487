import assert from 'node:assert/strict';
import { test } from 'node:test';

import { say } from '../../../src/cli/doctor/clocks.ts';

const told = (least: number, most: number): string => {
  let line = '';
  const findings = {
    ok: (what: string, text: string) => (line = `ok ${what}: ${text}`),
    note: (what: string, text: string) => (line = `note ${what}: ${text}`),
  };
  say(findings, 'clock', least, most);
  return line;
};

test('clocks that differ are told, with the difference and what to do', () => {
  assert.match(told(4_000, 4_000), /^ok clock: within 5\.0 s/);
  assert.match(told(-4_000, -4_000), /^ok /);
  assert.match(
    told(15_000, 15_000),
    /^note clock: is 15\.0 s ahead of this machine's: set .*chrony/,
  );
  assert.match(told(-15_000, -15_000), /^note clock: is 15\.0 s behind this machine's: set /);
  assert.match(told(-60_000, 5_000), /^ok /, 'the last poll may be a minute old');
});
