/** `debgeo worker`: runs until SIGINT or SIGTERM, then lets slices end. */
import { createActivities } from '../../activities/index.ts';
import { listDistributions, listSiteQueues } from '../database/work.ts';
import { createDeps, createLog } from '../deps.ts';
import { runWorker } from '../worker.ts';
import { configOf, type Options } from './connect.ts';

export const worker = async (options: Options & { logFile?: string }): Promise<number> => {
  const config = configOf(options);
  const log = createLog(options.logFile);
  const deps = await createDeps(config, log);
  try {
    const running = await runWorker({
      temporal: config.temporal,
      activities: createActivities(deps),
      sites: () => listSiteQueues(deps.database),
      distributions: () => listDistributions(deps.database),
      log,
    });
    await running.done;
    return 0;
  } finally {
    await deps.close();
  }
};
