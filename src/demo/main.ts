/**
 * `npm run demo [-- --keep]`: one change, end to end, in five acts on real servers: PostgreSQL,
 * Temporal and two Azurites, a signed archive and a real apt. The last line says what was counted.
 *
 * `npm run demo -- --gitlab`: the same for a private project of a GitLab with object storage.
 *
 * `npm run demo -- --archive URL|DIR --suite S --keyring FILE`: the acts for an archive of another
 * owner.
 *
 * Exit code 0: every promise held. 1: one did not. 2: usage. Otherwise that of the debgeo command
 * that failed: 3 it refused the archive, 4 it could not reach it.
 */
import { commandOf } from '../settings/stack-file.ts';
import { ask, suiteFolderOf } from '../witness/ask-as-apt.ts';
import { CommandFailed } from './command-failed.ts';
import { binaryKeyring, replicatedOf } from './foreign-archive.ts';
import { openGitLabArchive, type GitLabArchive } from './gitlab-archive.ts';
import { openStage, type OpenStage } from './open-stage.ts';
import { openOwnArchive, type OwnArchive } from './own-archive.ts';
import { parseArguments, USAGE, type Arguments } from './parse-arguments.ts';
import { playForeign, playGitLab, playOwn } from './play.ts';

const USAGE_EXIT = 2;

/** Declared before main runs, because main uses it; functions are there from the beginning. */
const interrupted = new Promise<'SIGINT' | 'SIGTERM'>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve(signal));
});
const asked = parseArguments(process.argv.slice(2));
if ('keep' in asked) process.exit(await main(asked));
process.stderr.write(`demo: ${asked.join('; ')}\n${USAGE}\n`);
process.exit(USAGE_EXIT);

async function main({ gitlab, foreign, keep, remarks }: Arguments): Promise<number> {
  let opened: OpenStage | null = null;
  let own: OwnArchive | null = null;
  let made: GitLabArchive | null = null;
  try {
    for (const remark of remarks) print(remark);
    const reader =
      foreign === null ? null : { archive: foreign, keyring: await binaryKeyring(foreign.keyring) };
    print('Starting PostgreSQL, Temporal, and an Azurite for each of the sites fra and sin.');
    opened = await openStage(indented, async (folder) => {
      if (reader !== null) return replicatedOf(reader.archive);
      if (gitlab) return (made = await openGitLabArchive(folder)).replicated;
      return (own = await openOwnArchive(folder)).replicated;
    });
    const { stage } = opened;
    print(`Temporal UI: ${stage.temporalUi}`);
    const played =
      reader !== null
        ? playForeign(stage, reader, print)
        : made !== null
          ? playGitLab(stage, made, print)
          : playOwn(stage, own!, print);
    const result = await Promise.race([played, opened.broken, interrupted]);
    if (result === 'SIGINT' || result === 'SIGTERM') return 130;
    print(`\n${result}`);
    if (keep) await keepOpen(opened, own, foreign !== null);
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
  isForeign: boolean,
): Promise<void> {
  await own?.server.accept();
  const { distribution, suite, archiveUrl } = stage.replicated;
  const workflow = `namespaces/default/workflows/distribution%2F${distribution}`;
  const database = stage.databaseUrl.replace(/:[^:@/]*@/, '@');
  const running = isForeign ? 'All servers go on' : 'All servers and the archive go on';
  print(`\n${running} running until Ctrl-C. To look at them:`);
  print(`  Temporal UI   ${stage.temporalUi}/${workflow}`);
  print(`  archive       ${archiveUrl}`);
  for (const site of stage.sites)
    print(`  site ${site.name}      ${site.url}/${await releaseAt(site.url, suite)}`);
  print(`  database      ${database} (its password is in stack.json)`);
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
