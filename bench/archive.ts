/** The archive that every contender reads, in a process of its own. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { ControlMessage, ControlReply } from './archive-host.ts';
import type { Corpus } from './corpus.ts';

const HOST = fileURLToPath(new URL('archive-host.ts', import.meta.url));

export interface BenchArchive {
  readonly pid: number;
  readonly port: number;
  /** Serves the first release of the corpus. @returns its URL */
  serve(corpus: Corpus): Promise<string>;
  /** The same under another name, with a pool that trickles. @returns its URL */
  serveSlowly(corpus: Corpus, name: string): Promise<string>;
  /** Serves the corpus as it is after so many further releases. */
  release(corpus: Corpus, number: number): Promise<void>;
  requestsSinceLastCall(): Promise<number>;
  close(): Promise<void>;
}

/** Of each variant of a union. */
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

export async function startArchive(): Promise<BenchArchive> {
  const host = fork(HOST, { execArgv: [] });
  const [{ port }] = (await once(host, 'message')) as [{ port: number }];
  const waiting = new Map<number, (requests: number) => void>();
  host.on('message', (reply: ControlReply) => {
    if ('id' in reply) waiting.get(reply.id)?.(reply.requests);
  });
  let last = 0;
  const tell = (message: WithoutId<ControlMessage>): Promise<number> => {
    const id = ++last;
    const replied = new Promise<number>((resolve) => waiting.set(id, resolve));
    host.send({ id, ...message });
    return replied;
  };
  const serve = async (name: string, folder: string, trickle: boolean): Promise<string> => {
    await tell({ serve: { name, folder, trickle } });
    return `http://127.0.0.1:${port}/${name}`;
  };
  return {
    pid: host.pid!,
    port,
    serve: ({ name, folder }) => serve(name, folder, false),
    serveSlowly: ({ folder }, name) => serve(name, folder, true),
    async release({ name }, number) {
      await tell({ release: { name, number } });
    },
    requestsSinceLastCall: () => tell({ count: 'reset' }),
    async close() {
      const gone = once(host, 'exit');
      host.disconnect();
      await gone;
    },
  };
}
