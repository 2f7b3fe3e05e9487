import { adoptSite, type Adopted, type SuiteOutcome } from '../../activities/adopt/adopt-site.ts';
/**
 * `debgeo adopt SITE [--take-over] [--dry-run] --reason TEXT`: after the database was lost, what a
 * site serves becomes known again from the site itself.
 */
import type { AdoptedSuite } from '../../activities/adopt/adopt-suite.ts';
import { DebgeoError, ruleOf } from '../domain/errors.ts';
import { sendDistributionChanged } from '../temporal/signals.ts';
import { bytes, table } from './amount.ts';
import { configOf, withTemporal, type Options } from './connect.ts';
import { operatorName } from './operator-name.ts';
import { describeError } from './print-error.ts';
import { notice, print, printAsJson } from './terminal.ts';

interface AdoptOptions extends Options {
  readonly reason: string;
  readonly takeOver?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export async function adopt(name: string, options: AdoptOptions): Promise<number> {
  const reason = options.reason.trim();
  if (reason === '') throw new DebgeoError('CONFIG_INVALID', '--reason says nothing');
  const { takeOver = false, dryRun = false } = options;
  const { createDeps } = await import('../deps.ts');
  const deps = await createDeps(configOf(options));
  let adopted: Adopted;
  try {
    const by = operatorName();
    // each request has an end of its own
    const { signal } = new AbortController();
    adopted = await adoptSite(deps, { site: name, takeOver, dryRun, reason, by, signal });
  } finally {
    await deps.close();
  }
  if (options.json === true) printAsJson(asJson(adopted, dryRun));
  else print(describe(adopted, dryRun));
  if (!dryRun) await signalChanges(options, adopted);
  return exitCodeOf(adopted);
}

/** Signals make it quicker: a worker sees within a minute by itself what was adopted. */
async function signalChanges(options: Options, { suites }: Adopted): Promise<void> {
  const changed = suites.filter(({ adopted }) => adopted !== null);
  try {
    await withTemporal(options, (client) =>
      Promise.all(changed.map((one) => sendDistributionChanged(client, one.distribution))),
    );
  } catch (error) {
    if (!(error instanceof DebgeoError)) throw error;
    notice(`adopted; a worker goes on within a minute\n${describeError(error.report)}`);
  }
}

function describe({ site, deployment, isTaken, suites, unknown }: Adopted, isDry: boolean): string {
  const { id, epoch } = deployment;
  const restored = epoch === 0 ? '' : `, restored ${epoch} times`;
  const taken = isDry ? 'would be adopted' : 'is adopted';
  const next = isDry ? 'dry run: nothing changed' : 'everything is read back now: debgeo status';
  return [
    `${site} ${isTaken ? taken : 'stays as it is'}; it was of deployment ${id}${restored}`,
    ...suites.map(describeSuite),
    ...unknown.map(
      ({ mount, suite }) =>
        `${suite} below ${mount}: no distribution replicates it here; its files stay`,
    ),
    ...(isTaken || isDry ? [next] : []),
  ].join('\n');
}

function describeSuite({ distribution, adopted, refusal }: SuiteOutcome): string {
  if (refusal !== null) return `${distribution}: refused`;
  if (adopted === null) return `${distribution}: nothing was published there`;
  const { releases, newest } = adopted;
  const rows = releases.map((release) => [
    `  generation ${release.generation}`,
    release.date?.toISOString() ?? 'without Date',
    `${release.files} files, ${bytes(release.bytes)}`,
    release.generation === adopted.served ? 'is served' : '',
  ]);
  return [
    `${distribution}: ${releases.length} releases of the site; ` +
      `generation ${newest} is the newest of the archive`,
    table(rows),
  ].join('\n');
}

const asJson = ({ suites, ...adopted }: Adopted, dryRun: boolean): object => ({
  ...adopted,
  dryRun,
  suites: suites.map(({ adopted: one, ...suite }) => ({
    ...suite,
    adopted: one === null ? null : withoutHead(one),
  })),
});

const withoutHead = ({ head: _head, ...suite }: AdoptedSuite): object => suite;

/** Of the first suite that was refused, or not adopted as far as it goes back. */
function exitCodeOf({ suites }: Adopted): number {
  const reports = suites.flatMap(({ distribution, refusal, adopted }) => {
    const report = refusal ?? adopted?.left ?? null;
    return report === null ? [] : [{ distribution, report }];
  });
  for (const { distribution, report } of reports)
    notice(`${distribution}: ${describeError(report)}`);
  return reports.length === 0 ? 0 : ruleOf(reports[0]!.report.code).exit;
}
