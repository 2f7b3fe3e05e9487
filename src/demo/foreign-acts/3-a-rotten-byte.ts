import { walkIndicesAt, type Reader } from '../foreign-archive.ts';
import { rotAndRepair, type Repair } from '../rot-and-repair.ts';
import { hold, type Stage } from '../stage.ts';

export const title = 'One byte rots at sin, inside the files of its storage.';

/** Rots the smallest pool file: it is found fastest in the files of the storage. */
export async function play(stage: Stage, reader: Reader): Promise<Repair> {
  const { pool } = await walkIndicesAt(reader, stage.sin);
  const [victim] = [...pool]
    .map(([path, { size, sha256 }]) => ({ path, size, sha256 }))
    .filter(({ size }) => size > 0)
    .toSorted((one, other) => one.size - other.size || (one.path < other.path ? -1 : 1));
  hold(victim !== undefined, 'there is a file to rot');
  return rotAndRepair(stage, victim);
}
