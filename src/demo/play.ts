/** The acts for each kind of archive, and the last line, which sums them up. */
import { sql } from 'kysely';

import { connectDatabase } from '../database/orm.ts';
import { one } from '../database/sql.ts';
import * as aNewDistribution from './acts/1-a-new-distribution.ts';
import * as tenReleases from './acts/2-ten-releases.ts';
import * as aForgery from './acts/3-a-forgery.ts';
import * as aRottenByte from './acts/4-a-rotten-byte.ts';
import * as theArchiveIsGone from './acts/5-the-archive-is-gone.ts';
import * as capture from './foreign-acts/1-capture.ts';
import * as clients from './foreign-acts/2-clients.ts';
import * as aForeignRottenByte from './foreign-acts/3-a-rotten-byte.ts';
import * as status from './foreign-acts/4-status.ts';
import type { Reader } from './foreign-archive.ts';
import * as aPrivateProject from './gitlab-acts/1-a-private-project.ts';
import * as anUpload from './gitlab-acts/2-an-upload.ts';
import * as aDeletion from './gitlab-acts/3-a-deletion.ts';
import { loginsOf, readerOf, type GitLabArchive } from './gitlab-archive.ts';
import type { OwnArchive } from './own-archive.ts';
import { hold, type Stage } from './stage.ts';

type Say = (line: string) => void;

/** @returns the last line */
export async function playOwn(stage: Stage, own: OwnArchive, say: Say): Promise<string> {
  const act = actsOf(5, say);
  await act(aNewDistribution.title, () => aNewDistribution.play(stage, own));
  const reading = await act(tenReleases.title, () => tenReleases.play(stage, own));
  const refusal = await act(aForgery.title, () => aForgery.play(stage, own));
  const repair = await act(aRottenByte.title, () => aRottenByte.play(stage, own));
  const survival = await act(theArchiveIsGone.title, () => theArchiveIsGone.play(stage, own));
  const { generation, serving, verified } = await sumUp(stage);
  return [
    `demo: ${serving} of ${stage.sites.length} sites serve generation ${generation}`,
    `${verified} blobs verified`,
    `${stage.clientName} fetched ${survival.packages} packages from each`,
    `${reading.failures} failures in ${reading.cycles} cycles`,
    `${refusal.forgeriesRefused} forgery refused`,
    `${repair.corruptionsRepaired} corruption found and repaired`,
  ].join(', ');
}

/** @returns the last line */
export async function playForeign(stage: Stage, reader: Reader, say: Say): Promise<string> {
  const act = actsOf(4, say);
  await act(capture.title, () => capture.play(stage));
  const reading = await act(clients.title, () => clients.play(stage, reader));
  const repair = await act(aForeignRottenByte.title, () => aForeignRottenByte.play(stage, reader));
  const comparison = await act(status.title, () => status.play(stage, reader));
  const { generation, serving, verified } = await sumUp(stage);
  const served = `generation ${generation} of ${stage.replicated.distribution}`;
  return [
    `demo: ${serving} of ${stage.sites.length} sites serve ${served}`,
    `${verified} blobs verified`,
    `${stage.clientName} fetched ${reading.packages} of ${reading.listed} packages from each`,
    `${repair.corruptionsRepaired} corruption found and repaired`,
    `status equals a walk of ${comparison.members} files at each`,
  ].join(', ');
}

/** @returns the last line */
export async function playGitLab(stage: Stage, made: GitLabArchive, say: Say): Promise<string> {
  const act = actsOf(4, say);
  await act(aPrivateProject.title, () => aPrivateProject.play(stage, made));
  const upload = await act(anUpload.title, () => anUpload.play(stage, made));
  const { packages } = await act(aDeletion.title, () => aDeletion.play(stage, made, upload));
  const comparison = await act(status.title, () => status.play(stage, readerOf(made)));
  const { generation, serving, verified } = await sumUp(stage);
  const { atGitLab, atStorage } = loginsOf(made);
  return [
    `demo: ${serving} of ${stage.sites.length} sites serve generation ${generation}`,
    `${verified} blobs verified`,
    `${stage.clientName} fetched ${packages} packages from each`,
    `status equals a walk of ${comparison.members} files at each`,
    `GitLab saw the login ${atGitLab} times, its object storage in 0 of ${atStorage} requests`,
  ].join(', ');
}

const actsOf = (acts: number, say: Say) => {
  let number = 0;
  return async <T>(title: string, play: () => Promise<T>): Promise<T> => {
    number += 1;
    say(`\nAct ${number} of ${acts}. ${title}`);
    const from = performance.now();
    const result = await play();
    say(`  every promise of this act held, in ${((performance.now() - from) / 1000).toFixed(1)} s`);
    return result;
  };
};

async function sumUp(
  stage: Stage,
): Promise<{ generation: number; serving: number; verified: number }> {
  const { generation, sites } = await stage.status();
  const serving = sites.filter((site) => site.served === generation);
  hold(serving.length === stage.sites.length, `both sites serve generation ${generation}`);
  for (const site of sites)
    hold(
      site.members > 0 && site.verified === site.members,
      `every blob at ${site.site} is verified`,
    );
  return { generation, serving: serving.length, verified: await countVerified(stage.databaseUrl) };
}

/** Verified rows of the registry, of all generations and at both sites. */
async function countVerified(databaseUrl: string): Promise<number> {
  const database = await connectDatabase(databaseUrl);
  try {
    const counted = await one(
      database.read,
      sql<{ verified: number }>`
        select count(*) as verified
        from blob_registry
        where settled`,
    );
    return counted?.verified ?? 0;
  } finally {
    await database.close();
  }
}
