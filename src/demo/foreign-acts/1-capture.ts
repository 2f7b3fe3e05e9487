import { CommandFailed } from '../command-failed.ts';
import type { Stage } from '../stage.ts';

export const title = 'The archive is captured, and reaches both sites.';

/**
 * A refusal ends the demo with the exit code of the command that refused: it has said why, and what
 * to do.
 */
export async function play(stage: Stage): Promise<void> {
  for (const args of [
    ['apply', stage.configurationFile],
    ['update', stage.replicated.distribution, '--wait'],
  ]) {
    const { exitCode } = await stage.debgeo(args, { limitMs: null });
    if (exitCode !== 0) throw new CommandFailed(`debgeo ${args[0]}`, exitCode);
  }
}
