import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Called with every line of both streams as it is printed. */
  readonly heard?: (line: string) => void;
  /** null: no limit. */
  readonly limitMs?: number | null | undefined;
}

/** On the demo's own archive a command that takes longer has failed. */
const COMMAND_MS_MAX = 120_000;

/** Runs a script of this repository on this Node. Exit code 124: past its time, as timeout(1). */
export function runScript(
  script: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { heard = () => {}, limitMs = COMMAND_MS_MAX } = options;
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  let late = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', heard);
  const end = (): void => {
    late = true;
    child.kill('SIGKILL');
  };
  const deadline = limitMs === null ? undefined : setTimeout(end, limitMs);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(deadline);
      resolve({ exitCode: late ? 124 : (code ?? 1), stdout, stderr });
    });
  });
}
