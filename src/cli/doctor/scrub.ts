import { readScrubCosts, readScrubs } from '../../database/views/scrubs.ts';
import type { JoinedDeps } from '../../deps.ts';
import { describeCost } from '../scrub.ts';
import type { Findings } from './findings.ts';

/** What reading a site back costs, and whether it keeps up. */
export async function examineScrub(
  findings: Findings,
  { database }: JoinedDeps,
  site: string,
): Promise<void> {
  const what = `scrub of ${site}`;
  const [scrub] = await readScrubs(database, site);
  const [cost] = await readScrubCosts(database, site);
  if (scrub === undefined || cost === undefined) return;
  if (scrub.overdue)
    findings.wrong(what, {
      code: 'SCRUB_BEHIND',
      message: `${site} was not read back within twice its interval`,
    });
  else findings.note(what, describeCost(cost));
}
