/** The measurements as Markdown, and what the last line is made of. Pure. */
import type { Measurement, Skipped } from './book.ts';
import type { Outcome } from './last-line.ts';
import { compare, spreadOf } from './statistics.ts';

export interface Report {
  readonly machine: Readonly<Record<string, string>>;
  readonly command: string;
  readonly measurements: readonly Measurement[];
  readonly skipped: readonly Skipped[];
  /** Where the CPU time of profiled workers went, as Markdown. */
  readonly profiles: readonly string[];
  readonly lastLine: string;
}

export const DEBGEO = 'debgeo';

export function outcomeOf(measurements: readonly Measurement[]): Outcome {
  const values = (work: string, contender: string): number[] | null => {
    const found = measurements
      .filter((one) => one.work === work && one.contender === contender)
      .map((one) => one.value);
    return found.length === 0 ? null : found;
  };
  const ratio = (work: string, one: string, other: string): number | null => {
    const [a, b] = [values(work, one), values(work, other)];
    return a === null || b === null ? null : compare(a, b).ratio;
  };
  const polls = values('nothing-changed', DEBGEO);
  const peaks = values('memory', DEBGEO);
  return {
    firstSmall: ratio('first-small', DEBGEO, 'floor'),
    firstReal: ratio('first-real', DEBGEO, 'floor'),
    nothingChanged: polls === null ? null : spreadOf(polls).median,
    delta: ratio('delta', 'rclone', DEBGEO),
    verify: ratio('verify', DEBGEO, 'floor'),
    twoSites: ratio('two-sites', DEBGEO, 'floor'),
    rss: peaks === null ? null : spreadOf(peaks).max * 1e6,
  };
}

export function writeMarkdown(report: Report): string {
  const works = [...new Set(report.measurements.map((one) => one.work))];
  return [
    `# ${report.machine['date']}`,
    '',
    `\`${report.command}\``,
    '',
    `\`${report.lastLine}\``,
    '',
    ...Object.entries(report.machine).map(([name, value]) => `- ${name}: ${value}`),
    '',
    ...works.flatMap((work) =>
      section(
        work,
        report.measurements.filter((one) => one.work === work),
      ),
    ),
    ...(report.skipped.length === 0
      ? []
      : [
          '## Not measured',
          '',
          ...report.skipped.map((one) => `- ${one.work}, ${one.contender}: ${one.why}`),
          '',
        ]),
    ...report.profiles,
  ].join('\n');
}

function section(work: string, measurements: readonly Measurement[]): string[] {
  const contenders = [...new Set(measurements.map((one) => one.contender))];
  const of = (contender: string) => measurements.filter((one) => one.contender === contender);
  const own = of(DEBGEO).map((one) => one.value);
  const rows = contenders.map((contender) => {
    const found = of(contender);
    const values = found.map((one) => one.value);
    const { median, min, max, rounds } = spreadOf(values);
    const { unit } = found[0]!;
    const digits = unit === 's' ? 3 : 1;
    const compared =
      contender === DEBGEO || own.length === 0 || unit !== of(DEBGEO)[0]!.unit
        ? ''
        : comparison(own, values);
    const last = found.at(-1)!;
    return [
      contender,
      `${median.toFixed(digits)} ${unit}`,
      `${min.toFixed(digits)}–${max.toFixed(digits)}`,
      String(rounds),
      compared,
      cpuOf(last),
      factsOf(last),
    ];
  });
  const head = [
    '',
    'median',
    'min–max',
    'rounds',
    'debgeo takes',
    'CPU seconds, last round',
    'counted, last round',
  ];
  return [`## ${work}`, '', ...table([head, ...rows]), ''];
}

function comparison(own: readonly number[], other: readonly number[]): string {
  const { ratio, difference } = compare(own, other);
  const words = {
    slower: 'slower',
    faster: 'faster',
    noise: 'within the noise',
    unknown: 'one round: no spread',
  };
  return `${ratio.toFixed(2)} × (${words[difference]})`;
}

/** The sum, then by role. Unlike a time it does not depend on what else the machine does. */
const cpuOf = ({ cpu = {} }: Measurement): string => {
  const roles = Object.entries(cpu).sort(([, a], [, b]) => b - a);
  if (roles.length === 0) return '';
  const all = roles.reduce((sum, [, seconds]) => sum + seconds, 0);
  const each = roles.map(([role, seconds]) => `${role} ${seconds.toFixed(1)}`);
  return `**${all.toFixed(1)}**: ${each.join(', ')}`;
};

const factsOf = ({ facts }: Measurement): string =>
  Object.entries(facts ?? {})
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');

export function table(rows: readonly (readonly string[])[]): string[] {
  const [head = [], ...body] = rows;
  return [
    `| ${head.join(' | ')} |`,
    `|${head.map(() => '---|').join('')}`,
    ...body.map((row) => `| ${row.join(' | ')} |`),
  ];
}
