/** CPU time of every process below this one, by role: what the cores do during a measurement. */
import { readdirSync, readFileSync } from 'node:fs';

/** Per second; Linux shows user space 100 on every architecture (USER_HZ, proc_pid_stat(5)). */
const CLOCK_TICKS = 100;

const ROLES: readonly (readonly [string, RegExp])[] = [
  ['Azurite', /azurite-host/],
  ['PostgreSQL', /postgres/],
  ['Temporal', /temporal/],
  ['worker', /worker-host/],
  ['archive', /archive-host/],
  ['bench', /bench\/main/],
];

interface Running {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  readonly seconds: number;
  /** Of its children that have ended. */
  readonly endedSeconds: number;
}

export type CpuSeconds = Readonly<Record<string, number>>;

/** The role of floor, peers and commands: they have ended when their time is counted. */
const PROGRAMS = 'programs run';

/** CPU seconds so far, by role. */
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
  const add = (role: string, seconds: number): void =>
    void (byRole[role] = (byRole[role] ?? 0) + seconds);
  for (const { pid, command, seconds, endedSeconds } of all) {
    if (!below.has(pid)) continue;
    const role = ROLES.find(([, pattern]) => pattern.test(command))?.[0] ?? 'other';
    add(role, seconds);
    add(pid === root ? PROGRAMS : role, endedSeconds);
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
    // The command in parentheses may hold anything: fields count from its last parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    const [user, system, endedUser, endedSystem] = fields
      .slice(11, 15)
      .map((ticks) => Number(ticks) / CLOCK_TICKS) as [number, number, number, number];
    return [
      {
        pid,
        parent: Number(fields[1]),
        command,
        seconds: user + system,
        endedSeconds: endedUser + endedSystem,
      },
    ];
  } catch {
    return []; // ended meanwhile
  }
}
