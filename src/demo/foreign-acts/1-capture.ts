import { CommandFailed } from '../command-failed.ts';
import type { Stage } from '../stage.ts';

export const title = 'The archive is captured, and reaches both sites.';

/** A command that refuses says why and what to do; the demo ends with its exit code. */
export async function play(stage: Stage): Promise<void> {
  for (const args of [
    ['apply', stage.configurationFile],
    ['update', stage.replicated.distribution, '--wait'],
  ]) {
    const { exitCode } = await stage.debgeo(args, { limitMs: null });
    if (exitCode !== 0) throw new CommandFailed(`debgeo ${args[0]}`, exitCode);
  }
}
