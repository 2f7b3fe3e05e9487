import { readPrunes, type PruneStatus } from '../database/prune/prunes.ts';
/**
 * `debgeo prune [--site S] [--dry-run]`: delete now what no kept snapshot names, or say what would
 * go.
 */
import { previewPrune, type Prunable } from '../database/prune/unneeded-blobs.ts';
import { DebgeoError, ruleOf, type ErrorReport } from '../domain/errors.ts';
import { askPrune } from '../temporal/updates.ts';
import { ago, bytes, duration, table } from './amount.ts';
import { withDatabase, withTemporal, type Options } from './connect.ts';
import { describeError } from './print-error.ts';

export const prune = async (
  options: Options & { site?: string; dryRun?: boolean; json?: boolean },
): Promise<number> =>
  withDatabase(options, async (database) => {
    const known = await readPrunes(database);
    const sites = known.filter(({ site }) => options.site === undefined || site === options.site);
    if (sites.length === 0) throw unknownSite(options.site, known);

    if (options.dryRun === true) {
      const previews: Preview[] = [];
      for (const last of sites)
        previews.push({
          ...(await previewPrune(database, { id: last.siteId, name: last.site })),
          last,
        });
      print(options, previews, () =>
        table(
          previews.map((one) => [
            ...describePreview(one),
            `last ${describeLast(one.last, Date.now())}`,
          ]),
        ),
      );
      return 0;
    }
    const failures = await withTemporal(options, async (client) => {
      const asked = await Promise.allSettled(sites.map(({ site }) => askPrune(client, site)));
      const rejected = asked.find((one) => one.status === 'rejected');
      if (rejected !== undefined) throw rejected.reason;
      return asked.flatMap((one, index) =>
        one.status === 'fulfilled' && one.value.report
          ? [{ site: sites[index]!.site, report: one.value.report }]
          : [],
      );
    });
    const after = (await readPrunes(database)).filter(({ site }) =>
      sites.some((one) => one.site === site),
    );
    print(options, after, () =>
      table(after.map((one) => [one.site, describeLast(one, Date.now())])),
    );
    return exitCodeOf(failures);
  });

type Preview = Prunable & { readonly last: PruneStatus };

const unknownSite = (site: string | undefined, known: readonly PruneStatus[]): DebgeoError =>
  site === undefined
    ? new DebgeoError('NAME_UNKNOWN', 'there is no site yet', {
        expected: 'sites in a file: debgeo apply FILE',
      })
    : new DebgeoError('NAME_UNKNOWN', `there is no site ${site}`, {
        expected: `one of ${known.map((one) => one.site).join(', ')}`,
        found: site,
      });

const print = (options: { json?: boolean }, found: readonly object[], text: () => string): void =>
  void process.stdout.write(`${options.json === true ? JSON.stringify(found, null, 2) : text()}\n`);

const describePreview = (one: Prunable): string[] => {
  const kept = Object.entries(one.oldestKept).map(
    ([distribution, generation]) => `${distribution} ${generation}`,
  );
  return [
    one.site,
    `${one.blobs} blobs, ${bytes(one.bytes)} would go`,
    `oldest kept: ${kept.join(', ') || 'nothing served yet'}`,
  ];
};

/** What the last prune did, and what comes next. */
export const describeLast = (one: PruneStatus, now: number): string => {
  if (one.failure !== null)
    return `failed: ${one.failure.code}, tries again in ${duration(Math.max(0, one.nextAt - now))}`;
  if (one.endedAt === null) return 'never pruned';
  return `pruned ${ago(one.endedAt, now)}: ${one.blobs} blobs, ${bytes(one.bytes)} deleted${one.more ? '; more to go, the next prune goes on' : ''}`;
};

const exitCodeOf = (
  failures: readonly { readonly site: string; readonly report: ErrorReport }[],
): number => {
  for (const { site, report } of failures)
    process.stderr.write(`${site}: ${describeError(report)}\n`);
  return failures.length === 0 ? 0 : ruleOf(failures[0]!.report.code).exit;
};
