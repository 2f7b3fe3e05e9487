/**
 * A way to PostgreSQL that can be shut (connections through it end, and new ones are refused), and
 * that knows which statements went through it.
 */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface Gate {
  /** The text of each statement that a client sent, those of transactions and sessions left out. */
  readonly statements: string[];
  /** The same database, through the gate. */
  readonly url: string;
  shut(): Promise<void>;
  open(): Promise<void>;
  close(): Promise<void>;
}

export async function startGate(databaseUrl: string): Promise<Gate> {
  const behind = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  const statements: string[] = [];
  const server = createServer((near) => {
    const read = statementsOf((text) => {
      if (!OF_TRANSACTIONS.test(text)) statements.push(text);
    });
    near.on('data', read);
    const far = connect(Number(behind.port), behind.hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  const listen = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as { port: number }).port;
  };
  const shut = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  const port = await listen(0);
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = `${port}`;
  return {
    statements,
    url: url.href,
    shut,
    open: async () => void (await listen(port)),
    close: shut,
  };
}

const OF_TRANSACTIONS = /^\s*(?:begin|commit|rollback|start transaction|select set_config)/i;

/**
 * Reads the messages of a client: a length after the type, but for the first, which has no type.
 */
function statementsOf(onStatement: (text: string) => void): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let isFirst = true;
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      const start = isFirst ? 0 : 1;
      if (rest.length < start + 4) return;
      const end = start + rest.readInt32BE(start);
      if (rest.length < end) return;
      const type = isFirst ? '' : String.fromCharCode(rest[0]!);
      const body = rest.subarray(start + 4, end);
      if (type === 'Q') onStatement(body.toString('utf8', 0, body.indexOf(0)));
      // Parse: the name of the statement, then its text.
      if (type === 'P') {
        const text = body.subarray(body.indexOf(0) + 1);
        onStatement(text.toString('utf8', 0, text.indexOf(0)));
      }
      rest = rest.subarray(end);
      isFirst = false;
    }
  };
}
