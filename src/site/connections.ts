/** The kept connections to one site. */
import type http from 'node:http';

import { onceMoreAfterReset } from '../domain/connection-reset.ts';
import { guardedAgents } from '../network/guarded-agents.ts';

/**
 * A kept connection is closed by us before the site does: after what its Keep-Alive header says,
 * and after this at the latest. Milliseconds.
 */
const IDLE_MS = 60_000;

export class Connections {
  readonly agent: http.Agent;

  constructor(accountUrl: string) {
    const { protocol } = new URL(accountUrl);
    this.agent = guardedAgents('site')(protocol, { keepAlive: true, timeout: IDLE_MS });
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
