import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { CorpusFile } from './corpus.ts';
import type { FloorRequest } from './floor.ts';
import { runProgram } from './run-program.ts';
import type { Place, Stage } from './stage.ts';
import { siteUrl } from './world.ts';

const FLOOR = fileURLToPath(new URL('floor.ts', import.meta.url));
/** The knee on Azurite is at 16 to 32. */
const PARALLEL = 32;

/** Seconds from its first request to its last. */
export async function runFloor(
  stage: Stage,
  what: FloorRequest['what'],
  archiveUrl: string,
  files: readonly CorpusFile[],
  places: readonly Place[],
): Promise<number> {
  const sites = places.map((place) => ({
    url: siteUrl(place),
    account: place.server.account,
    key: place.server.key,
  }));
  const order: FloorRequest = { what, archiveUrl, files, sites, parallel: PARALLEL };
  const file = join(stage.folder, `floor-${process.hrtime.bigint()}.json`);
  await writeFile(file, JSON.stringify(order), { mode: 0o600 });
  try {
    const { seconds } = JSON.parse(await runProgram(process.execPath, [FLOOR, file])) as {
      seconds: number;
    };
    return seconds;
  } finally {
    await rm(file);
  }
}
