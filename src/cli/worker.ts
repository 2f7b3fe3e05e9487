/** `debgeo worker`: runs until SIGINT or SIGTERM, then lets slices end. */
import { createActivities } from '../../activities/index.ts';
import { listDistributions, listSiteQueues, listSites } from '../database/views/work.ts';
import { createDeps } from '../deps.ts';
import { DebgeoError } from '../domain/errors.ts';
import { createLog } from '../log.ts';
import { runWorker } from '../worker/worker.ts';
import { configOf, type Options } from './connect.ts';

export const worker = async (options: Options & { logFile?: string }): Promise<number> => {
  const config = configOf(options);
  const log = createLog({ file: options.logFile });
  const deps = await createDeps(config, log);
  try {
    const running = await runWorker({
      temporal: config.temporal,
      activities: createActivities(deps),
      sites: () => listSiteQueues(deps.database),
      distributions: () => listDistributions(deps.database),
      prunes: () => listSites(deps.database),
      log,
      ...graceOf(process.env['DEBGEO_STOP_MS']),
    });
    await running.done;
    return 0;
  } finally {
    await deps.close();
  }
};

/** Less than what the one who stops workers waits before it kills: ten seconds with Docker. */
const graceOf = (text: string | undefined): { graceMs?: number } =>
  text === undefined || text === '' ? {} : { graceMs: whole(text) };

const whole = (text: string): number => {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new DebgeoError('CONFIG_INVALID', 'DEBGEO_STOP_MS is no time', {
    expected: 'milliseconds, 5000 for one',
    found: text,
  });
};
