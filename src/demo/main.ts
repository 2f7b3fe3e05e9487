/**
 * `npm run demo [-- --keep]`: one change, end to end, in five acts on real servers: PostgreSQL, Temporal and two Azurites, a signed archive
 * and a real apt. Exit code 0 only if every promise held; the last line says what was counted.
 */
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { connectDatabase } from '../database/orm.ts';
import * as aNewDistribution from './acts/1-a-new-distribution.ts';
import * as tenReleases from './acts/2-ten-releases.ts';
import * as aForgery from './acts/3-a-forgery.ts';
import * as aRottenByte from './acts/4-a-rotten-byte.ts';
import * as theArchiveIsGone from './acts/5-the-archive-is-gone.ts';
import { commandOf } from '../stack/stack-file.ts';
import { openStage, type OpenStage } from './open-stage.ts';
import { DISTRIBUTION, hold, type Stage } from './stage.ts';

const ACTS = 5;

const { keep } = parseArgs({ options: { keep: { type: 'boolean', default: false } } }).values;
const interrupted = new Promise<'SIGINT' | 'SIGTERM'>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve(signal));
});
process.exit(await main());

async function main(): Promise<number> {
  let opened: OpenStage | null = null;
  try {
    print('Starting PostgreSQL, Temporal, and an Azure Blob Storage (Azurite) for each of the sites fra and sin.');
    opened = await openStage((line) => print(`  ${line}`));
    print(`Temporal UI: ${opened.stage.temporalUi}`);
    const result = await Promise.race([playAll(opened), opened.broken, interrupted]);
    if (result === 'SIGINT' || result === 'SIGTERM') return 130;
    print(result);
    if (keep) await keepOpen(opened);
    return 0;
  } catch (error) {
    print(`demo failed: ${error instanceof Error ? error.message : String(error)}`);
    if (opened !== null) print(`the logs are in ${opened.folder}`);
    return 1;
  } finally {
    await opened?.close();
  }
}

/** @returns the last line */
async function playAll({ stage, folder }: OpenStage): Promise<string> {
  await playAct(1, aNewDistribution.title, () => aNewDistribution.play(stage, folder));
  const reading = await playAct(2, tenReleases.title, () => tenReleases.play(stage));
  const refusal = await playAct(3, aForgery.title, () => aForgery.play(stage));
  const repair = await playAct(4, aRottenByte.title, () => aRottenByte.play(stage));
  const survival = await playAct(5, theArchiveIsGone.title, () => theArchiveIsGone.play(stage));
  const { generation, serving, verified } = await sumUp(stage);
  print('');
  return [
    `demo: ${serving} of ${stage.sites.length} sites serve generation ${generation}`,
    `${verified} blobs verified`,
    `${stage.clientName} fetched ${survival.packages} packages from each`,
    `${reading.failures} failures in ${reading.cycles} cycles`,
    `${refusal.forgeriesRefused} forgery refused`,
    `${repair.corruptionsRepaired} corruption found and repaired`,
  ].join(', ');
}

async function playAct<T>(number: number, title: string, play: () => Promise<T>): Promise<T> {
  print(`\nAct ${number} of ${ACTS}. ${title}`);
  const from = performance.now();
  const result = await play();
  print(`  every promise of this act held, in ${((performance.now() - from) / 1000).toFixed(1)} s`);
  return result;
}

async function sumUp(stage: Stage): Promise<{ generation: number; serving: number; verified: number }> {
  const { generation, sites } = await stage.status();
  const serving = sites.filter((site) => site.served === generation);
  hold(serving.length === stage.sites.length, `both sites serve generation ${generation}`);
  for (const site of sites) hold(site.members > 0 && site.verified === site.members, `every blob at ${site.site} is verified`);
  return { generation, serving: serving.length, verified: await countVerified(stage.databaseUrl) };
}

/** Rows of the registry that are verified, of all generations and at both sites: the demo began with none. */
async function countVerified(databaseUrl: string): Promise<number> {
  const database = await connectDatabase(databaseUrl);
  try {
    const { rows } = await sql<{ verified: number }>`select count(*) as verified from blob_registry where settled`.execute(
      database.read.kysely,
    );
    return rows[0]?.verified ?? 0;
  } finally {
    await database.close();
  }
}

async function keepOpen({ stage, folder, broken }: OpenStage): Promise<void> {
  await stage.server.accept();
  print('\nEverything goes on running, the archive too, until Ctrl-C. To look at it:');
  print(`  Temporal UI   ${stage.temporalUi}/namespaces/default/workflows/distribution%2F${DISTRIBUTION}`);
  print(`  archive       ${stage.server.url}`);
  for (const site of stage.sites) print(`  site ${site.name}      ${site.url}/dists/${DISTRIBUTION}/InRelease`);
  print(`  database      ${stage.databaseUrl.replace(/:[^:@/]*@/, '@')} (its password is in stack.json)`);
  print(`  data, logs    ${folder}`);
  const debgeo = commandOf('demo');
  print(`  commands      ${debgeo('status')}`);
  print(`                ${debgeo(`verify ${DISTRIBUTION} --wait`)}`);
  print(`                ${debgeo('doctor')}`);
  await Promise.race([interrupted, broken]);
  print('stopping');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
