import { spawn } from 'node:child_process';

/** @returns the end of stdout. @throws Error with what the program printed, if it fails */
export function runProgram(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let stdout = '';
  let said = '';
  child.stdout
    .setEncoding('utf8')
    .on('data', (text: string) => (stdout = (stdout + text).slice(-100_000)));
  child.stderr
    .setEncoding('utf8')
    .on('data', (text: string) => (said = (said + text).slice(-2_000)));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(stdout);
      const called = [command, ...args.slice(0, 3), '…'].join(' ');
      const printed = (said || stdout).trim().slice(-600);
      reject(new Error(`${called} ended with ${signal ?? code}: ${printed}`));
    });
  });
}
