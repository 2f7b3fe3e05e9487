/**
 * The process of a worker that is a child: `node worker-host.ts PROGRAM worker …` runs PROGRAM with
 * the arguments behind it, and ends as on SIGTERM when the parent has gone, however that ended.
 * Forked with an IPC channel by fork-worker.ts.
 */
import { pathToFileURL } from 'node:url';

process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();
process.argv.splice(1, 1);
await import(pathToFileURL(process.argv[1]!).href);
