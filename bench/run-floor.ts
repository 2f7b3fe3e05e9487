import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { CorpusFile } from './corpus.ts';
import type { FloorTask } from './floor.ts';
import { siteUrl } from './installation.ts';
import { runProgram } from './run-program.ts';
import type { Place, Testbed } from './testbed.ts';

const FLOOR = fileURLToPath(new URL('floor.ts', import.meta.url));
/** Files at a time. On Azurite the throughput stops growing at 16 to 32. */
const PARALLEL = 32;

/** @returns seconds from its first request to its last */
export async function runFloor(
  testbed: Testbed,
  what: FloorTask['what'],
  archiveUrl: string,
  files: readonly CorpusFile[],
  places: readonly Place[],
): Promise<number> {
  const sites = places.map((place) => ({
    url: siteUrl(place),
    account: place.server.account,
    key: place.server.key,
  }));
  const task: FloorTask = { what, archiveUrl, files, sites, parallel: PARALLEL };
  const file = join(testbed.folder, `floor-${process.hrtime.bigint()}.json`);
  await writeFile(file, JSON.stringify(task), { mode: 0o600 });
  try {
    const { seconds } = JSON.parse(await runProgram(process.execPath, [FLOOR, file])) as {
      seconds: number;
    };
    return seconds;
  } finally {
    await rm(file);
  }
}
