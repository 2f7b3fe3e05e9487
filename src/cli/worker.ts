/** `debgeo worker`: runs until SIGINT or SIGTERM, then lets slices end for DEBGEO_STOP_MS. */
import { createActivities } from '../../activities/index.ts';
import { rollUpOverdue } from '../database/scrub/end-pass.ts';
import {
  listArchiveQueues,
  listWantedDistributions,
  listSiteQueues,
  listSites,
} from '../database/views/work.ts';
import { createDeps } from '../deps.ts';
import { createLog } from '../log.ts';
import { readEnvironment } from '../settings/environment.ts';
import { runWorker } from '../worker/worker.ts';
import { keptWorkflowBundle } from '../worker/workflow-bundle.ts';
import { configOf, type Options } from './connect.ts';

export async function worker(options: Options & { logFile?: string }): Promise<number> {
  const config = configOf(options);
  const environment = readEnvironment();
  const log = createLog({ file: options.logFile });
  const deps = await createDeps(config, log);
  try {
    const codePath = await keptWorkflowBundle(environment.DEBGEO_CACHE_DIR);
    const running = await runWorker({
      temporal: config.temporal,
      activities: createActivities(deps),
      archives: () => listArchiveQueues(deps.database),
      sites: () => listSiteQueues(deps.database),
      rollUp: () => rollUpOverdue(deps.database),
      distributions: () => listWantedDistributions(deps.database),
      prunes: () => listSites(deps.database),
      log,
      graceMs: environment.DEBGEO_STOP_MS,
      ...(codePath === null ? {} : { codePath }),
    });
    await running.done;
    return 0;
  } finally {
    await deps.close();
  }
}
