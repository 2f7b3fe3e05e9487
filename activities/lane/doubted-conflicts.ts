import {
  bookDoubtedConflicts,
  listDoubtedConflicts,
} from '../../src/database/registry/doubted-conflicts.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import type { Deps } from '../deps.ts';
import { inParallel } from '../in-parallel.ts';
import { readBack } from '../read-back.ts';
import type { SiteStep } from './step.ts';

/**
 * Reads back what is in the way of the generation where the registry is not believed. Given twice:
 * what is settled is not read again.
 * @returns whether something is not in the way any more
 */
export async function clearDoubtedConflicts({ database }: Deps, step: SiteStep): Promise<boolean> {
  const { key, store, context } = step;
  const conflicts = await listDoubtedConflicts(database.read, key);
  const read = new Map<number, Awaited<ReturnType<typeof readBack>>>();
  await inParallel(conflicts, LIMITS.laneConcurrency, context.signal, async (one, signal) => {
    read.set(one.pathId, await readBack(store, step.placeOf(one.path), signal));
  });
  const found = conflicts.map((one) => ({ ...one, checksum: read.get(one.pathId) ?? null }));
  return found.length > 0 && (await bookDoubtedConflicts(database.read, key, found)) > 0;
}
