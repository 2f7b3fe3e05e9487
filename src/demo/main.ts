/**
 * `npm run demo [-- --keep]`: one change, end to end, in five acts on real servers: PostgreSQL,
 * Temporal and two Azurites, a signed archive and a real apt. Exit code 0 only if every promise
 * held; the last line says what was counted.
 *
 * `npm run demo -- --archive URL|DIR --suite S --keyring FILE`: the acts that make sense on
 * somebody else's archive. Exit code 2: not asked as it has to be; that of debgeo where it refuses
 * the archive (3), cannot reach it (4) or cannot have a file right (1).
 */
import { commandOf } from '../settings/stack-file.ts';
import { ask, suiteFolderOf } from '../witness/ask-as-apt.ts';
import { CommandFailed } from './command-failed.ts';
import { binaryKeyring, replicatedOf } from './foreign-archive.ts';
import { openStage, type OpenStage } from './open-stage.ts';
import { openOwnArchive, type OwnArchive } from './own-archive.ts';
import { parseArguments, USAGE, type Arguments } from './parse-arguments.ts';
import { playForeign, playOwn } from './play.ts';

const USAGE_EXIT = 2;

/** Declared before main runs; what it calls is declared as functions, which are there already. */
const interrupted = new Promise<'SIGINT' | 'SIGTERM'>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve(signal));
});
const asked = parseArguments(process.argv.slice(2));
if ('keep' in asked) process.exit(await main(asked));
process.stderr.write(`demo: ${asked.join('; ')}\n${USAGE}\n`);
process.exit(USAGE_EXIT);

async function main({ foreign, keep, remarks }: Arguments): Promise<number> {
  let opened: OpenStage | null = null;
  let own: OwnArchive | null = null;
  try {
    for (const remark of remarks) print(remark);
    const reader =
      foreign === null ? null : { archive: foreign, keyring: await binaryKeyring(foreign.keyring) };
    print(
      'Starting PostgreSQL, Temporal, and an Azure Blob Storage (Azurite) for each of the sites fra and sin.',
    );
    opened = await openStage(indented, async (folder) =>
      reader === null
        ? (own = await openOwnArchive(folder)).replicated
        : replicatedOf(reader.archive),
    );
    print(`Temporal UI: ${opened.stage.temporalUi}`);
    const played =
      own === null ? playForeign(opened.stage, reader!, print) : playOwn(opened.stage, own, print);
    const result = await Promise.race([played, opened.broken, interrupted]);
    if (result === 'SIGINT' || result === 'SIGTERM') return 130;
    print(`\n${result}`);
    if (keep) await keepOpen(opened, own);
    return 0;
  } catch (error) {
    print(`demo failed: ${error instanceof Error ? error.message : String(error)}`);
    if (opened !== null) print(`the logs are in ${opened.folder}`);
    return error instanceof CommandFailed ? error.exitCode : 1;
  } finally {
    await opened?.close();
  }
}

async function keepOpen(
  { stage, folder, broken }: OpenStage,
  own: OwnArchive | null,
): Promise<void> {
  await own?.server.accept();
  const { distribution, suite, archiveUrl } = stage.replicated;
  print(
    `\nEverything goes on running${own === null ? '' : ', the archive too'}, until Ctrl-C. To look at it:`,
  );
  print(
    `  Temporal UI   ${stage.temporalUi}/namespaces/default/workflows/distribution%2F${distribution}`,
  );
  print(`  archive       ${archiveUrl}`);
  for (const site of stage.sites)
    print(`  site ${site.name}      ${site.url}/${await releaseAt(site.url, suite)}`);
  print(
    `  database      ${stage.databaseUrl.replace(/:[^:@/]*@/, '@')} (its password is in stack.json)`,
  );
  print(`  data, logs    ${folder}`);
  const debgeo = commandOf('demo');
  print(`  commands      ${debgeo('status')}`);
  print(`                ${debgeo(`verify ${distribution} --wait`)}`);
  print(`                ${debgeo('doctor')}`);
  await Promise.race([interrupted, broken]);
  print('stopping');
}

async function releaseAt(url: string, suite: string): Promise<string> {
  const inRelease = `${suiteFolderOf(suite)}InRelease`;
  return (await ask(url, inRelease, { method: 'HEAD' })).status === 200
    ? inRelease
    : `${suiteFolderOf(suite)}Release`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function indented(line: string): void {
  print(`  ${line}`);
}
