import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** No command of the demo takes longer while all is well. */
const COMMAND_MS_MAX = 120_000;

/** Runs a script of this repository with the Node that runs us; an ended time limit reads as exit code 124, as timeout(1) says it. */
export function runScript(script: string, args: readonly string[]): Promise<CommandResult> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  let late = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const deadline = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, COMMAND_MS_MAX);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(deadline);
      resolve({ exitCode: late ? 124 : (code ?? 1), stdout, stderr });
    });
  });
}
