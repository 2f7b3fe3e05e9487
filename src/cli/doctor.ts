/**
 * `debgeo doctor`: asks everything that debgeo depends on, and says what is wrong and what to do.
 * It writes one small blob per site, below `.debgeo/`, and removes it again; nothing else changes.
 * Exit 0: nothing is wrong; 1: something is; 4: the database does not answer.
 */
import { siteWorkflowId, workflowId } from '../../workflows/messages.ts';
import { listArchiveQueues, listDistributions, listSiteQueues } from '../database/views/work.ts';
import { createDeps, type JoinedDeps } from '../deps.ts';
import { queryStatus } from '../temporal/describe.ts';
import { configOf, withTemporal, type Options } from './connect.ts';
import { examineArchive, tellPrivateArchives } from './doctor/archive.ts';
import { examineClocks } from './doctor/clocks.ts';
import { examineSettings } from './doctor/database.ts';
import { Findings } from './doctor/findings.ts';
import { examineScrub } from './doctor/scrub.ts';
import { examineSite } from './doctor/site.ts';
import { countPollers, examineTemporal, examineWorkflowOf, polling } from './doctor/temporal.ts';

const DONE = 0;
const FAILED = 1;
const UNREACHABLE = 4;

export async function doctor(options: Options): Promise<number> {
  const findings = new Findings();
  const config = configOf(options);
  const workers = await examineTemporal(findings, options);
  if (!(await examineSettings(findings, config, workers ?? 0))) return UNREACHABLE;
  const deps = await findings.check(
    'tables',
    () => createDeps(config),
    () => 'are at this version',
  );
  if (deps === undefined) return FAILED;
  try {
    await examineAll(findings, options, deps, workers !== null);
  } finally {
    await deps.close();
  }
  return findings.faults === 0 ? DONE : FAILED;
}

async function examineAll(
  findings: Findings,
  options: Options,
  deps: JoinedDeps,
  hasTemporal: boolean,
): Promise<void> {
  await examineClocks(findings, options, deps, hasTemporal);
  for (const { site, queue } of await listSiteQueues(deps.database)) {
    await examineSite(findings, deps, site);
    await examineScrub(findings, deps, site);
    if (!hasTemporal) continue;
    await findings.check(`worker of ${site}`, () => countPollers(options, queue), polling);
    await examineWorkflowOf(findings, options, siteWorkflowId(site));
  }
  for (const { archive, queue } of hasTemporal ? await listArchiveQueues(deps.database) : [])
    await findings.check(`worker of ${archive}`, () => countPollers(options, queue), polling);
  await tellPrivateArchives(findings, deps);
  for (const distribution of await listDistributions(deps.database)) {
    await examineArchive(findings, deps, distribution);
    if (!hasTemporal) continue;
    if (!(await examineWorkflowOf(findings, options, workflowId(distribution)))) continue;
    await findings.check(
      `workflow of ${distribution}`,
      () => withTemporal(options, (client) => queryStatus(client, distribution)),
      (roster) =>
        roster === null
          ? 'does not run yet; a worker starts it within a minute'
          : 'runs, and a worker answers for it',
    );
  }
}
