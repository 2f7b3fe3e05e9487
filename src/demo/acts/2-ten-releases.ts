import { startClientLoop } from '../../witness/client-loop.ts';
import { packagesOf } from '../demo-packages.ts';
import { DISTRIBUTION, openClient, servedBy, type OwnArchive } from '../own-archive.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'The archive releases again and again, while clients read both sites.';

const RELEASES_MIN = 10;
const RELEASES_MAX = 40;
const OVERLAPS_MIN = 10;
const CYCLES_MIN = 20;

export interface Reading {
  readonly cycles: number;
  readonly failures: number;
  readonly overlaps: number;
}

export async function play(stage: Stage, own: OwnArchive): Promise<Reading> {
  const loops = await Promise.all(
    stage.sites.map(async (site) =>
      startClientLoop({
        client: await openClient(stage, own, site),
        expected: own.expected,
        served: () => servedBy(site),
      }),
    ),
  );
  const cyclesSoFar = () => loops.flatMap((loop) => loop.cycles);
  stage.say('after each release: debgeo update stable --wait. Meanwhile at each site, in cycles:');
  stage.say('update with kept lists, update with empty lists, download of all packages, hashes');

  for (let number = 2; number <= RELEASES_MAX + 1; number++) {
    await own.release(packagesOf(number));
    const from = performance.now();
    const updated = await stage.debgeo(['update', DISTRIBUTION, '--wait'], { quiet: true });
    hold(updated.exitCode === 0, `both sites serve release ${number}\n${updated.stderr}`);
    const seconds = ((performance.now() - from) / 1000).toFixed(1);
    stage.say(`release ${number}: both sites serve it after ${seconds} s`);
    if (cyclesSoFar().some((cycle) => cycle.failure !== null)) break;
    const overlaps = cyclesSoFar().filter((cycle) => cycle.overlapped).length;
    if (number > RELEASES_MIN && overlaps >= OVERLAPS_MIN && cyclesSoFar().length >= CYCLES_MIN)
      break;
  }

  const cycles = (await Promise.all(loops.map((loop) => loop.stop()))).flat();
  const failures = cycles.flatMap((cycle) => cycle.failure ?? []);
  const overlaps = cycles.filter((cycle) => cycle.overlapped).length;
  const counts = `${cycles.length} cycles, ${failures.length} failures`;
  stage.say(`${counts}, ${overlaps} cycles overlapped a publication`);
  hold(failures.length === 0, `no cycle fails\n${failures[0]}`);
  hold(overlaps >= OVERLAPS_MIN, `at least ${OVERLAPS_MIN} cycles overlap a publication`);
  hold(cycles.length >= CYCLES_MIN, `there are at least ${CYCLES_MIN} cycles`);
  return { cycles: cycles.length, failures: failures.length, overlaps };
}
