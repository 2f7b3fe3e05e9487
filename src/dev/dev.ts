/**
 * `npm run dev`: servers, tables and a worker in the foreground, with the data of the last run in
 * `./.debgeo/dev`. Ctrl-C or SIGTERM: the worker drains, then the servers stop; after a second
 * signal they do not wait for the worker.
 */
import { join } from 'node:path';

import { migrate } from '../cli/migrate.ts';
import { printError } from '../cli/print-error.ts';
import { worker } from '../cli/worker.ts';
import { DebgeoError, type ErrorReport } from '../domain/errors.ts';
import { commandOf, stackFolder } from '../settings/stack-file.ts';
import { startStack, type Stack } from '../stack/stack.ts';
import { SAMPLE_DISTRIBUTION, writeSample } from './sample.ts';

const BLOBS = ['fra', 'sin'];
const INTERRUPTED = 130;

/** Until the worker runs there is nothing to drain, and the first signal stops the servers. */
let drains = false;
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (!drains) stop.abort();
    drains = false;
  });
}

let stack: Stack | null = null;
try {
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const folder = stackFolder('dev');
  const workerLog = join(folder, 'worker.log');
  stack = await startStack({ folder, blobs: BLOBS, say, signal: stop.signal });
  await migrate({ dev: true });
  const sample = await writeSample(folder, stack.blobs);
  for (const line of describe(stack, { folder, workerLog, sample })) say(line);
  drains = true;
  process.exitCode = await Promise.race([
    worker({ dev: true, logFile: workerLog }),
    stack.ended.then(refuse),
  ]);
} catch (error) {
  process.exitCode = stop.signal.aborted ? INTERRUPTED : printError(error);
} finally {
  await stack?.stop();
}
process.exit();

function describe(
  { temporalUi, temporalAddress, databaseUrl, blobs }: Stack,
  { folder, workerLog, sample }: Record<'folder' | 'workerLog' | 'sample', string>,
): string[] {
  const database = new URL(databaseUrl);
  database.password = '';
  const debgeo = commandOf('dev');
  return [
    `Temporal UI   ${temporalUi}`,
    `Temporal      ${temporalAddress}`,
    `PostgreSQL    ${database.href}`,
    ...blobs.map(({ name, url }) => `Azurite ${name}   ${url}`),
    `passwords     ${join(folder, 'stack.json')}`,
    `worker's log  ${workerLog}`,
    '',
    'In another terminal, for a small real distribution on both Azurites:',
    `  ${debgeo(`apply ${sample}`)}`,
    `  ${debgeo(`update ${SAMPLE_DISTRIBUTION} --wait`)}`,
    `  ${debgeo('status')}`,
    'Ctrl-C here stops everything and keeps the data.',
  ];
}

function refuse(reason: ErrorReport | null): never {
  throw DebgeoError.of(reason ?? { code: 'STACK_FAILED', message: 'the servers were stopped' });
}
