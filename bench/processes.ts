/** CPU time by role of every process below this one: where two cores go while something is measured. */
import { readdirSync, readFileSync } from 'node:fs';

/** `comm` may hold anything: fields are counted behind its last parenthesis (proc_pid_stat(5)). */
const CLOCK_TICKS = 100;

const ROLES: readonly (readonly [string, RegExp])[] = [
  ['Azurite', /azurite-host/],
  ['PostgreSQL', /postgres/],
  ['Temporal', /temporal/],
  ['worker', /worker-host/],
  ['archive', /archive-host/],
  ['floor', /bench\/floor/],
  ['rclone', /^rclone/],
  ['debmirror', /debmirror/],
  ['aptly', /^aptly/],
  ['bench', /bench\/main/],
];

interface Running {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  /** Its own, and that of its children that have ended. */
  readonly seconds: number;
}

export type CpuSeconds = Readonly<Record<string, number>>;

/** So far, by role. */
export function cpuSeconds(root: number = process.pid): CpuSeconds {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)));
  const below = new Set([root]);
  for (let size = 0; size !== below.size;) {
    size = below.size;
    for (const one of all) if (below.has(one.parent)) below.add(one.pid);
  }
  const byRole: Record<string, number> = {};
  for (const { pid, command, seconds } of all) {
    if (!below.has(pid)) continue;
    const role = ROLES.find(([, pattern]) => pattern.test(command))?.[0] ?? 'other';
    byRole[role] = (byRole[role] ?? 0) + seconds;
  }
  return byRole;
}

export const cpuBetween = (before: CpuSeconds, after: CpuSeconds): CpuSeconds =>
  Object.fromEntries(
    Object.entries(after).flatMap(([role, seconds]) => {
      const spent = seconds - (before[role] ?? 0);
      return spent < 0.05 ? [] : [[role, spent] as const];
    }),
  );

function readProcess(pid: number): Running[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    const ticks = [11, 12, 13, 14].map((field) => Number(fields[field])).reduce((sum, value) => sum + value, 0);
    return [{ pid, parent: Number(fields[1]), command, seconds: ticks / CLOCK_TICKS }];
  } catch {
    return []; // ended meanwhile
  }
}
