/**
 * `debgeo status [DIST]`: what each site serves and holds, and what is wrong. It reads PostgreSQL
 * alone, so it works without Temporal and without a worker.
 */
import type { Database } from '../database/orm.ts';
import { readPrunes } from '../database/prune/prunes.ts';
import { readScrubs } from '../database/views/scrubs.ts';
import { readStatus, type DistributionStatus, type SiteStatus } from '../database/views/status.ts';
import { DebgeoError } from '../domain/errors.ts';
import { isParked } from '../domain/replication.ts';
import { printable } from '../domain/text.ts';
import { ago, bytes, duration, table } from './amount.ts';
import { withDatabase, type Options } from './connect.ts';
import { describeError } from './print-error.ts';
import { describeHeld, describeLast } from './prune.ts';
import { describeScrubs } from './scrub.ts';
import { print, printAsJson } from './terminal.ts';

export function status(
  name: string | undefined,
  options: Options & { json?: boolean },
): Promise<number> {
  return withDatabase(options, async (database) => {
    const found = await readStatus(database, name);
    if (name !== undefined && found.length === 0)
      throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${name}`);
    if (options.json) printAsJson(found);
    else {
      const text =
        found.map((one) => describe(one, Date.now())).join('\n\n') ||
        'no distribution is configured yet: debgeo apply FILE';
      print(name === undefined ? `${text}${await describeSites(database)}` : text);
    }
    return 0;
  });
}

/** What debgeo does at each site beside its lanes. */
async function describeSites(database: Database): Promise<string> {
  const scrubs = await readScrubs(database);
  const scrubbed = scrubs.length === 0 ? '' : `\n\nscrub\n${describeScrubs(scrubs, Date.now())}`;
  return `${await describePrunes(database)}${scrubbed}`;
}

async function describePrunes(database: Database): Promise<string> {
  const prunes = (await readPrunes(database)).filter(
    (one) => one.startedAt !== null || one.failure !== null || one.held > 0,
  );
  if (prunes.length === 0) return '';
  const failures = prunes.flatMap(({ site, failure }) =>
    failure === null ? [] : [indented(`${site}: ${describeError(failure)}`)],
  );
  const rows = prunes.map((one) => [`  ${one.site}`, describeLast(one, Date.now())]);
  const held = prunes.flatMap(describeHeld).map(indented);
  return ['', '', 'prune', table(rows), ...held, ...failures].join('\n');
}

function describe(one: DistributionStatus, now: number): string {
  const generation = one.generation === 0 ? 'nothing captured yet' : `generation ${one.generation}`;
  const head = [
    `${one.distribution}: ${one.status}`,
    `${generation} of ${one.archive} ${one.suite}`,
    `looked at ${ago(one.lookedAt, now)}`,
    `next in ${duration(Math.max(0, one.nextLookAt - now))}`,
  ].join(', ');
  const rows = one.sites.map((site) => [
    `  ${site.site}${site.primary ? '*' : ''}`,
    `serves ${site.served === 0 ? 'nothing' : site.served}`,
    site.paused ? `${site.state}, paused` : site.state,
    ...(site.served === 0
      ? ['', '']
      : [`${site.verified} of ${site.members} verified`, `checked ${ago(site.verifiedAt, now)}`]),
    classOf(site),
    doing(site, now),
  ]);
  return [
    printable(head),
    rows.length > 0 ? table(rows) : '  no sites',
    ...(one.failure === null ? [] : [indented(`archive: ${describeError(one.failure)}`)]),
    ...[one.stale, one.expiring].flatMap((report) =>
      report === null ? [] : [indented(`archive: ${describeError(report)}`)],
    ),
    ...publications(one.sites, now),
    ...one.sites.flatMap((site) =>
      site.failure === null ? [] : [indented(`${site.site}: ${describeError(site.failure)}`)],
    ),
    ...incidents(one, now),
  ].join('\n');
}

const classOf = ({ class: kind, windowMs }: SiteStatus): string =>
  kind === 'windowed' && windowMs !== null ? `windowed (last ${windowMs} ms)` : (kind ?? '');

/** Between its first published name and InRelease: seconds, unless something holds it up. */
function publications(sites: readonly SiteStatus[], now: number): string[] {
  return sites.flatMap(({ site, publication }) =>
    publication === null
      ? []
      : [
          `  ${site}: publication of ${publication.generation} open since ` +
            duration(Math.max(0, now - publication.since)),
        ],
  );
}

function doing(site: SiteStatus, now: number): string {
  if (site.state === 'started') {
    const work = `works on ${site.pinned ?? site.target}`;
    if (site.filesDone >= site.filesTotal) return work;
    const files = `${site.filesDone} of ${site.filesTotal} files`;
    return `${work}, ${files}, ${bytes(site.bytesDone)} of ${bytes(site.bytesTotal)}`;
  }
  if (site.state === 'failed') {
    const parked = isParked({ state: site.state, code: site.failure?.code ?? null });
    const next = duration(Math.max(0, (site.retryAt ?? now) - now));
    return `${parked ? 'parked, ' : ''}tries again in ${next} (failure ${site.retryCount})`;
  }
  if (site.state === 'cancelled') return 'until debgeo retry, or the next generation';
  return site.verifyRequestedAt === null ? '' : 'verify asked for';
}

/** Open incidents, without those that the failures above say already. */
function incidents(one: DistributionStatus, now: number): string[] {
  const failures = new Map<string | null, string | undefined>(
    one.sites.map((site) => [site.site, site.failure?.code]),
  );
  failures.set(null, one.failure?.code);
  const saidAbove = [one.stale?.code, one.expiring?.code];
  return one.incidents
    .filter(
      ({ site, code }) =>
        failures.get(site) !== code && !(site === null && saidAbove.includes(code)),
    )
    .map(({ site, code, message, times, lastAt }) => {
      const often = times === 1 ? 'once' : `${times} times`;
      const what = printable(`${site ?? 'archive'}: ${code}: ${message}`);
      return `  ${what} (${often}, ${ago(lastAt, now)})`;
    });
}

const indented = (text: string): string => `  ${text.split('\n').join('\n  ')}`;
