/** A server on every address of this machine that counts who comes. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';

import type { Agents } from '../../src/network/guarded-agents.ts';

export interface Tripwire {
  readonly port: number;
  /** Connections that came. */
  reached: number;
  /** Sockets of this process that were opened to go somewhere. */
  dialled: number;
  close(): Promise<void>;
}

export async function startTripwire(): Promise<Tripwire> {
  const server = http.createServer((_, response) => response.end('reached'));
  server.on('connection', () => (tripwire.reached += 1));
  server.listen(0);
  await once(server, 'listening');
  const count = (): void => void (tripwire.dialled += 1);
  subscribe('net.client.socket', count);
  const tripwire: Tripwire = {
    port: (server.address() as AddressInfo).port,
    reached: 0,
    dialled: 0,
    async close() {
      unsubscribe('net.client.socket', count);
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return tripwire;
}

/**
 * As `agents`, but `name` is our own server, as if that were on the Internet, as long as `isThere`
 * says so.
 */
export const onTheInternet =
  (name: string, port: number, agents: Agents, isThere: () => boolean = () => true): Agents =>
  (protocol, options) => {
    const agent = agents(protocol, options);
    const connect = agent.createConnection.bind(agent);
    agent.createConnection = (to, done) =>
      to.host === name && isThere() ? net.connect(port, '127.0.0.1') : connect(to, done);
    return agent;
  };
