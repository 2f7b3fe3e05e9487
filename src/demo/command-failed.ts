/** A command of debgeo that failed or refused, and said so: the demo ends with its exit code. */
export class CommandFailed extends Error {
  readonly exitCode: number;

  constructor(command: string, exitCode: number) {
    super(`${command} ended with exit code ${exitCode}, and said why above`);
    this.exitCode = exitCode;
  }
}
