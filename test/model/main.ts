/**
 * `npm run soak:model -- [--minutes 10] [--seed 1]`: random schedules, judged after every command
 * (README.md). Exit 1: a promise is broken; the shrunk schedule is printed, and `--schedule` plays
 * it again. `--plant` puts a fault that was fixed back into the source first.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { plant, type PLANTS } from './plants.ts';
import type { Report } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    path: { type: 'string' },
    schedule: { type: 'string' },
    plant: { type: 'string' },
    processes: { type: 'string', default: '2' },
    'at-once': { type: 'string', default: '2' },
    'no-shrink': { type: 'boolean', default: false },
    database: { type: 'string', multiple: true },
  },
});
if (values.plant !== undefined) plant(values.plant as keyof typeof PLANTS);
// what a plant changes is loaded from here on
const { ownPostgres } = await import('./own-postgres.ts');
const { playOnce, soak } = await import('./soak.ts');

if (values.schedule !== undefined) {
  const own = values.database === undefined ? await ownPostgres(1) : null;
  const broken = await playOnce(own?.urls[0] ?? values.database![0]!, values.schedule);
  console.log(broken ?? 'no finding');
  process.exitCode = broken === null ? 0 : 1;
  await own?.stop();
} else if (process.send !== undefined) {
  process.send(
    await soak({
      urls: values.database!,
      seed: Number(values.seed),
      minutes: Number(values.minutes),
      isShrinking: !values['no-shrink'],
      path: values.path,
    }),
  );
  process.disconnect();
} else await soakInProcesses();

/** PostgreSQL takes as much of a machine as Node, which takes one core. */
async function soakInProcesses(): Promise<void> {
  const isOne = values.path !== undefined;
  const atOnce = isOne ? 1 : Number(values['at-once']);
  const processes = isOne ? 1 : Number(values.processes);
  const own = await ownPostgres(processes * atOnce);
  const began = performance.now();
  try {
    const reports = await Promise.all(
      Array.from({ length: processes }, (_, index) => {
        const first = index * atOnce;
        return reportOf(Number(values.seed) + first, own.urls.slice(first, first + atOnce));
      }),
    );
    print(reports, (performance.now() - began) / 1_000);
    process.exitCode = reports.some(({ findings }) => findings.length > 0) ? 1 : 0;
  } finally {
    await own.stop();
  }
}

async function reportOf(seed: number, urls: readonly string[]): Promise<Report> {
  const given = process.argv.slice(2);
  const own = ['--seed', `${seed}`, ...urls.flatMap((url) => ['--database', url])];
  const child = fork(fileURLToPath(import.meta.url), [...given, ...own]);
  const [report] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`a process ended: ${code}`))),
  ])) as [Report];
  return report;
}

function print(reports: readonly Report[], seconds: number): void {
  const sum = (of: (report: Report) => number): number =>
    reports.reduce((before, report) => before + of(report), 0);
  for (const kind of [
    ...new Set(reports.flatMap(({ counts }) => Object.keys(counts.kinds))),
  ].sort())
    console.log(`${String(sum(({ counts }) => counts.kinds[kind] ?? 0)).padStart(8)}  ${kind}`);
  console.log(
    `seed ${values.seed}: ${sum(({ counts }) => counts.schedules)} schedules, ` +
      `${sum(({ counts }) => counts.commands)} commands, ` +
      `${sum(({ counts }) => counts.faults)} faults injected, ` +
      `${sum(({ counts }) => counts.steps)} activities, ${seconds.toFixed(0)} s`,
  );
  const findings = reports.flatMap((report) => report.findings);
  console.log(findings.length === 0 ? 'no finding' : findings.join('\n'));
}
