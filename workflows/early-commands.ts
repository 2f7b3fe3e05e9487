/**
 * Commands for sites that have no lane yet: `apply` has added the site, and the look that brings
 * its row has not ended. They wait for that roster, and for no longer: a name that a roster does
 * not bring is none of ours.
 */
import { log } from '@temporalio/workflow';

import { LIMITS } from '../src/domain/limits.ts';
import type { Command } from '../src/domain/replication.ts';

export interface EarlyCommands {
  /** By site; from signals, and from the run before. */
  readonly bySite: Map<string, Command>;
  /** For each lane that opens before the next look has ended. */
  all: Command | null;
}

/** Keeps a command for every lane that the roster to come opens. */
export function keepForAll(early: EarlyCommands, command: Command): void {
  early.all = { ...early.all, ...command };
}

/** Keeps a command for one site that the roster to come may bring. */
export function keepForSite(early: EarlyCommands, site: string, command: Command): void {
  if (!early.bySite.has(site) && early.bySite.size >= LIMITS.earlyCommands)
    log.warn('too many commands for sites without a lane; ignored', { site });
  else early.bySite.set(site, { ...early.bySite.get(site), ...command });
}

/** What the lane that opens now has to do first; null: nothing. */
export function takeEarly(early: EarlyCommands, site: string): Command | null {
  const own = early.bySite.get(site);
  early.bySite.delete(site);
  return own === undefined && early.all === null ? null : { ...early.all, ...own };
}

/**
 * A look has ended: what was kept before it began, and found no lane, is given up.
 * @param before what was kept when the look began
 * @param isLookWanted another look begins, and commands since the last one wait for it
 */
export function dropEarly(
  early: EarlyCommands,
  before: EarlyCommands,
  isLookWanted: boolean,
): void {
  if (!isLookWanted || early.all === before.all) early.all = null;
  for (const [site, command] of before.bySite) {
    if (early.bySite.get(site) !== command) continue;
    early.bySite.delete(site);
    log.warn('signal for a site that has no lane', { site });
  }
}
