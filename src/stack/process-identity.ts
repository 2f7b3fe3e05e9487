/**
 * Which process a recorded pid means. A pid alone is not enough: after a reboot or many processes
 * another process has the same number, and that process must never be signalled.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** Boot and clock tick at which it started (proc(5): boot_id and field 22 of stat). */
  readonly started: string;
}

/** null: there is no such process, or it is a zombie, which only waits for its parent. */
export function identify(pid: number): ProcessIdentity | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The command in parentheses may contain spaces and parentheses: fields count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  if (state === 'Z' || state === 'X') return null;
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return { pid, started: `${boot}/${fields[19]}` };
}

export const isAlive = (process: ProcessIdentity): boolean =>
  identify(process.pid)?.started === process.started;

/**
 * Signals exactly this process (null: it ends by itself) and waits until it has ended; SIGKILL
 * after `patienceMs`.
 */
export async function endProcess(
  target: ProcessIdentity,
  signal: NodeJS.Signals | null,
  patienceMs: number,
): Promise<void> {
  const deadline = Date.now() + patienceMs;
  if (signal) send(target, signal);
  while (isAlive(target)) {
    if (Date.now() > deadline) send(target, 'SIGKILL');
    await wait(20);
  }
}

function send(target: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(target)) return;
  try {
    process.kill(target.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
