import { spawn } from 'node:child_process';

/** What a program prints is not asked for until it fails. @returns stdout */
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
      if (code === 0) resolve(stdout);
      else
        reject(
          new Error(
            `${command} ${args.slice(0, 3).join(' ')} … ended with ${signal ?? code}: ${(said || stdout).trim().slice(-600)}`,
          ),
        );
    });
  });
}
