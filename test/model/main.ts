/**
 * `npm run soak:model -- [--minutes 10] [--seed 1]`: random schedules, judged after every command.
 * Exit 1: a promise is broken; the shrunk schedule is printed, and `--schedule` plays it again.
 * `--plant` puts a fault back into the source first.
 */
import { parseArgs } from 'node:util';

import { plant, type PLANTS } from './plants.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    path: { type: 'string' },
    schedule: { type: 'string' },
    plant: { type: 'string' },
    database: { type: 'string' },
    'at-once': { type: 'string', default: '2' },
    'no-shrink': { type: 'boolean', default: false },
  },
});
if (values.plant !== undefined) plant(values.plant as keyof typeof PLANTS);

// what a plant changes is loaded from here on
const { ownPostgres } = await import('./own-postgres.ts');
const { playOnce, soak } = await import('./soak.ts');

const own = values.database === undefined ? await ownPostgres(Number(values['at-once'])) : null;
const urls = own?.urls ?? [values.database!];
try {
  const isFine =
    values.schedule === undefined
      ? await soak(urls, {
          seed: Number(values.seed),
          minutes: Number(values.minutes),
          isShrinking: !values['no-shrink'],
          ...(values.path === undefined ? {} : { path: values.path }),
        })
      : await playOnce(urls[0]!, values.schedule);
  process.exitCode = isFine ? 0 : 1;
} finally {
  await own?.stop();
}
