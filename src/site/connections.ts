/** The kept connections to one site. */
import http from 'node:http';
import https from 'node:https';

import { isReset } from './site-error.ts';

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
   * A kept connection that the site closed just when a request went out is no failure: once more,
   * on a new one (RFC 9112 §9.3.1). Every write is conditional, so that one which got through
   * nevertheless is answered with a conflict, and looked at (I5).
   */
  async send<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      if (!isReset(error)) throw error;
      this.#dropIdle();
      return await request();
    }
  }

  /** What was closed on one connection was probably closed on all that were idle. */
  #dropIdle(): void {
    for (const sockets of Object.values(this.agent.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
  }
}
