/** The archive that everybody who is measured reads, in a process of its own. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import type { ArchiveAnswer, ArchiveRequest } from './archive-host.ts';
import type { Corpus } from './corpus.ts';

const HOST = fileURLToPath(new URL('archive-host.ts', import.meta.url));

export interface BenchArchive {
  readonly pid: number;
  readonly port: number;
  /** Serves the corpus as first released; its URL. */
  serve(corpus: Corpus): Promise<string>;
  /** From now on the corpus is as after this many further releases. */
  release(corpus: Corpus, number: number): Promise<void>;
  /** Requests since the last call. */
  takeRequests(): Promise<number>;
  close(): Promise<void>;
}

export async function startArchive(): Promise<BenchArchive> {
  const host = fork(HOST, { execArgv: [] });
  const [{ port }] = (await once(host, 'message')) as [{ port: number }];
  const waiting = new Map<number, (requests: number) => void>();
  host.on('message', (answer: ArchiveAnswer) => {
    if ('id' in answer) waiting.get(answer.id)?.(answer.requests);
  });
  let last = 0;
  type Command = ArchiveRequest extends infer O
    ? O extends ArchiveRequest
      ? Omit<O, 'id'>
      : never
    : never;
  const ask = (order: Command): Promise<number> => {
    const id = ++last;
    const answered = new Promise<number>((resolve) => waiting.set(id, resolve));
    host.send({ id, ...order });
    return answered;
  };
  return {
    pid: host.pid!,
    port,
    async serve({ name, folder }) {
      await ask({ serve: { name, folder } });
      return `http://127.0.0.1:${port}/${name}`;
    },
    async release({ name }, number) {
      await ask({ release: { name, number } });
    },
    takeRequests: () => ask({ count: 'reset' }),
    async close() {
      const gone = once(host, 'exit');
      host.disconnect();
      await gone;
    },
  };
}
