/**
 * `debgeo scrub SITE [--now]`: what the scrub of a site has read and found; with --now a pass
 * begins at once, and reads without pauses.
 */
import type { Database } from '../database/orm.ts';
import { askScrub } from '../database/scrub/commands.ts';
import {
  readScrubCosts,
  readScrubs,
  type ScrubCost,
  type ScrubStatus,
} from '../database/views/scrubs.ts';
import { DebgeoError } from '../domain/errors.ts';
import { rateNeeded } from '../domain/scrub.ts';
import { sendSiteChanged } from '../temporal/signals.ts';
import { ago, bytes, duration, table } from './amount.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { describeError } from './print-error.ts';
import { notice, print, printAsJson } from './terminal.ts';

interface ScrubOptions extends Options {
  readonly now?: boolean;
  readonly json?: boolean;
}

export function scrub(site: string, options: ScrubOptions): Promise<number> {
  return withDatabase(options, async (database) => {
    await requireSite(database, site);
    if (options.now === true) {
      await askScrub(database, site);
      await withTemporal(options, (client) => sendSiteChanged(client, site));
      notice(`${site}: asked to read back, judge and repair all that it has`);
    }
    const [found] = await readScrubs(database, site);
    if (options.json === true) printAsJson(found);
    else
      print(
        [
          describeScrubs([found!], Date.now()),
          ...(await readScrubCosts(database, site)).map((cost) => `  ${describeCost(cost)}`),
        ].join('\n'),
      );
    return 0;
  });
}

/** @throws NAME_UNKNOWN */
export async function requireSite(database: Database, site: string): Promise<void> {
  const known = (await readScrubs(database)).map((one) => one.site);
  if (known.includes(site)) return;
  throw new DebgeoError('NAME_UNKNOWN', `there is no site ${site}`, {
    expected: known.length === 0 ? 'a file with sites: debgeo apply FILE' : known.join(', '),
    found: site,
  });
}

/** A line for each site, and what failed. */
export const describeScrubs = (scrubs: readonly ScrubStatus[], now: number): string =>
  [
    table(scrubs.map((one) => [`  ${one.site}`, lastOf(one, now), passOf(one), nextOf(one, now)])),
    ...scrubs.flatMap(({ site, failure }) =>
      failure === null ? [] : [`  ${site}: ${describeError(failure)}`.replaceAll('\n', '\n  ')],
    ),
  ].join('\n');

const lastOf = ({ lastStartedAt, overdue }: ScrubStatus, now: number): string =>
  `${lastStartedAt === null ? 'never read whole' : `all read since ${ago(lastStartedAt, now)}`}${
    overdue ? ', overdue' : ''
  }`;

function passOf(one: ScrubStatus): string {
  if (one.startedAt === null) return '';
  const wrong = `${one.wrong} wrong${one.repaired === 0 ? '' : `, ${one.repaired} repaired here`}`;
  if (one.endedAt !== null)
    return `last pass: ${one.files} files, ${bytes(one.bytes)} read, ${wrong}`;
  const files = `${one.files} of ${one.filesTotal} files`;
  return `pass: ${files}, ${bytes(one.bytes)} of ${bytes(one.bytesTotal)} read, ${wrong}`;
}

function nextOf(one: ScrubStatus, now: number): string {
  if (one.paused) return 'paused';
  if (one.nextAt === null) return 'off';
  if (one.failure !== null) return `tries again in ${duration(Math.max(0, one.nextAt - now))}`;
  return one.nextAt <= now ? '' : `next in ${duration(one.nextAt - now)}`;
}

/** What it costs to read all of a site again and again. */
export function describeCost({ intervalMs, files, bytes: size }: ScrubCost): string {
  if (intervalMs === null) return 'off: no byte is read back once it was verified';
  return (
    `reads ${files} files, ${bytes(size)} every ${duration(intervalMs)}, ` +
    `${bytes(Math.ceil(rateNeeded(size, intervalMs)))}/s; ` +
    'reading from another region is billed'
  );
}
