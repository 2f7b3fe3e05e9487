import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below the range from which Linux picks the local port of outgoing connections
 * (ip_local_port_range, from 32768). So the ports of a stopped stack are still free when it starts
 * again, and its URLs stay valid.
 */
const FIRST = 20_000;
const LAST = 32_000;

/**
 * A free port of 127.0.0.1 that is not in `taken`, the preferred one if possible.
 * @param taken gets the port
 */
export async function freePort(preferred: number | null, taken: Set<number>): Promise<number> {
  for (let port = preferred ?? randomInt(FIRST, LAST); ; port = randomInt(FIRST, LAST)) {
    if (taken.has(port) || !(await isFree(port))) continue;
    taken.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () =>
      server.close(() => resolve(true)),
    );
  });
}
