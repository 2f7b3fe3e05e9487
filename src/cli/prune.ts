/**
 * `debgeo prune [--site S] [--dry-run]`: deletes now what no kept snapshot names, or says what that
 * would be.
 */
import type { Database } from '../database/orm.ts';
import { askForHeld } from '../database/prune/held-files.ts';
import { readPrunes, type PruneStatus } from '../database/prune/prunes.ts';
import { previewPrune, type Prunable } from '../database/prune/unneeded-blobs.ts';
import { DebgeoError, ruleOf, type ErrorReport } from '../domain/errors.ts';
import { askPrune } from '../temporal/updates.ts';
import { ago, bytes, duration, table } from './amount.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { describeError } from './print-error.ts';
import { notice, print, printAsJson } from './terminal.ts';

interface PruneOptions extends Options {
  readonly site?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function prune(options: PruneOptions): Promise<number> {
  return withDatabase(options, async (database) => {
    const known = await readPrunes(database);
    const sites = known.filter(({ site }) => options.site === undefined || site === options.site);
    if (sites.length === 0) throw unknownSite(options.site, known);
    return options.dryRun === true
      ? preview(database, options, sites)
      : pruneNow(database, options, sites);
  });
}

async function preview(
  database: Database,
  options: PruneOptions,
  sites: readonly PruneStatus[],
): Promise<number> {
  const found: (Prunable & { readonly last: PruneStatus })[] = [];
  for (const last of sites)
    found.push({ ...(await previewPrune(database, { id: last.siteId, name: last.site })), last });
  show(options, found, () =>
    table(
      found.map((one) => [...describePreview(one), `last ${describeLast(one.last, Date.now())}`]),
    ),
  );
  return 0;
}

async function pruneNow(
  database: Database,
  options: PruneOptions,
  sites: readonly PruneStatus[],
): Promise<number> {
  const names = sites.map(({ site }) => site);
  for (const { siteId } of sites) await askForHeld(database, siteId);
  const failures = await withTemporal(options, async (client) => {
    const asked = await Promise.allSettled(names.map((site) => askPrune(client, site)));
    const rejected = asked.find((one) => one.status === 'rejected');
    if (rejected !== undefined) throw rejected.reason;
    return asked.flatMap((one, index) =>
      one.status === 'fulfilled' && one.value.report
        ? [{ site: names[index]!, report: one.value.report }]
        : [],
    );
  });
  const after = (await readPrunes(database)).filter(({ site }) => names.includes(site));
  show(options, after, () =>
    [
      table(after.map((one) => [one.site, describeLast(one, Date.now())])),
      ...after.flatMap(describeHeld),
    ].join('\n'),
  );
  return exitCodeOf(failures);
}

const unknownSite = (site: string | undefined, known: readonly PruneStatus[]): DebgeoError =>
  site === undefined
    ? new DebgeoError('NAME_UNKNOWN', 'no site is configured yet', {
        expected: 'a file with sites: debgeo apply FILE',
      })
    : new DebgeoError('NAME_UNKNOWN', `there is no site ${site}`, {
        expected: `one of ${known.map((one) => one.site).join(', ')}`,
        found: site,
      });

const show = (options: { json?: boolean }, found: readonly object[], text: () => string): void =>
  options.json === true ? printAsJson(found) : print(text());

function describePreview(one: Prunable): string[] {
  const kept = Object.entries(one.oldestKept).map(
    ([distribution, generation]) => `${distribution} ${generation}`,
  );
  return [
    one.site,
    `${one.blobs} blobs, ${bytes(one.bytes)} would be deleted`,
    `oldest kept: ${kept.join(', ') || 'nothing served yet'}`,
  ];
}

/** What the last prune did, and what comes next. */
export function describeLast(one: PruneStatus, now: number): string {
  const next = duration(Math.max(0, one.nextAt - now));
  if (one.failure !== null) return `failed: ${one.failure.code}, tries again in ${next}`;
  if (one.endedAt === null) return 'never pruned';
  const last = `pruned ${ago(one.endedAt, now)}: ${one.blobs} blobs, ${bytes(one.bytes)} deleted`;
  return `${last}; ${one.more ? 'more to delete, ' : ''}next in ${next}`;
}

/** One line of its own, or none: what the site does not delete. */
export function describeHeld({ site, held }: PruneStatus): string[] {
  if (held === 0) return [];
  const files = held === 1 ? '1 file is' : `${held} files are`;
  return [`${site}: ${files} held by a policy, legal hold or lease; asked for again every day`];
}

function exitCodeOf(
  failures: readonly { readonly site: string; readonly report: ErrorReport }[],
): number {
  for (const { site, report } of failures) notice(`${site}: ${describeError(report)}`);
  return failures.length === 0 ? 0 : ruleOf(failures[0]!.report.code).exit;
}
