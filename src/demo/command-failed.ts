/** A command of debgeo failed or refused: the demo ends with its exit code. */
export class CommandFailed extends Error {
  readonly exitCode: number;

  constructor(command: string, exitCode: number) {
    super(`${command} ended with exit code ${exitCode}; the reason is above`);
    this.exitCode = exitCode;
  }
}
