import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Measurement } from '../../bench/book.ts';
import { lastLine } from '../../bench/last-line.ts';
import { outcomeOf, writeMarkdown } from '../../bench/report.ts';

const measured = (
  work: string,
  contender: string,
  values: readonly number[],
  unit = 's',
): Measurement[] =>
  values.map((value, index) => ({ work, contender, round: index + 1, value, unit }));

test('the last line says how debgeo compares, in the order of the works', () => {
  const outcome = outcomeOf([
    ...measured('first-small', 'debgeo', [26, 24, 25]),
    ...measured('first-small', 'floor', [20, 20, 20]),
    ...measured('first-real', 'debgeo', [4.4]),
    ...measured('first-real', 'floor', [4]),
    ...measured('nothing-changed', 'debgeo', [0.03, 0.05, 0.04]),
    ...measured('delta', 'debgeo', [0.5]),
    ...measured('delta', 'rclone', [3]),
    ...measured('verify', 'debgeo', [9]),
    ...measured('verify', 'floor', [8]),
    ...measured('two-sites', 'debgeo', [12]),
    ...measured('two-sites', 'floor', [10]),
    ...measured('memory', 'debgeo', [271.6], 'MB'),
  ]);
  const expected = [
    'bench: first-small 1.25x floor',
    'first-real 1.10x floor',
    'nothing-changed 0.040 s',
    'delta 6.00x rclone',
    'verify 1.13x floor',
    'two-sites 1.20x floor',
    'rss 272 MB',
  ];
  assert.equal(lastLine(outcome), expected.join(', '));
});

test('what was not measured is a dash, also when only one side was measured', () => {
  const expected = [
    'bench: first-small - floor',
    'first-real - floor',
    'nothing-changed - s',
    'delta - rclone',
    'verify - floor',
    'two-sites - floor',
    'rss - MB',
  ].join(', ');
  assert.equal(lastLine(outcomeOf([])), expected);
  assert.equal(lastLine(outcomeOf(measured('first-small', 'debgeo', [26]))), expected);
});

test('the report shows median, spread and comparison of contenders, and reasons of skips', () => {
  const markdown = writeMarkdown({
    machine: { date: '2026-11-23T00:00:00Z', node: '24.21.0' },
    command: 'npm run bench --',
    measurements: [
      ...measured('first-small', 'debgeo', [26, 24, 25]),
      ...measured('first-small', 'floor', [20, 20, 20]),
    ],
    skipped: [
      { work: 'first-small', contender: 'rclone', why: 'not installed: apt-get install rclone' },
    ],
    profiles: [],
    lastLine: 'bench: …',
  });
  assert.match(markdown, /^\| debgeo \| 25\.000 s \| 24\.000–26\.000 \| 3 \|/m);
  assert.match(markdown, /^\| floor \| 20\.000 s \| 20\.000–20\.000 \| 3 \| 1\.25 × \(slower\)/m);
  assert.match(markdown, /^- first-small, rclone: not installed: apt-get install rclone$/m);
  assert.match(markdown, /^- node: 24\.21\.0$/m);
});
