/** The kept connections to one site. */
import http from 'node:http';
import https from 'node:https';

import { onceMoreAfterReset } from '../domain/connection-reset.ts';

/**
 * A kept connection is closed by us before the site does: after what its Keep-Alive header says,
 * and after this at the latest. Milliseconds.
 */
const IDLE_MS = 60_000;

export class Connections {
  readonly agent: http.Agent;

  constructor(accountUrl: string) {
    const options = { keepAlive: true, timeout: IDLE_MS };
    this.agent = accountUrl.startsWith('https:')
      ? new https.Agent(options)
      : new http.Agent(options);
  }

  /**
   * Once more where a kept connection was reset. Every write is conditional: one that got through
   * nevertheless is answered with a conflict, and what is at the site then decides (I5).
   */
  send<T>(request: () => Promise<T>): Promise<T> {
    return onceMoreAfterReset(request, () => {
      this.#dropIdle();
      return request();
    });
  }

  /** What was closed on one connection was probably closed on all that were idle. */
  #dropIdle(): void {
    for (const sockets of Object.values(this.agent.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
  }
}
