/**
 * Follows the rows of one distribution until every site that is waited for has settled. A terminal
 * gets one line per site, redrawn in place; anything else gets a line where a site has changed, and
 * every two seconds at most where it only makes progress.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Database } from '../database/orm.ts';
import { readProgress, type LaneProgress } from '../database/views/progress.ts';
import { DebgeoError, needsPerson } from '../domain/errors.ts';
import { bytes, duration } from './amount.ts';
import { printLine, redrawing } from './terminal.ts';

const POLL_MS = 200;
const PLAIN_LINE_MS = 2_000;

export interface Watch {
  readonly distribution: string;
  /** Undefined: all sites. */
  readonly site?: string | undefined;
  /** Whether this site has what was asked for. */
  readonly done: (site: LaneProgress) => boolean;
}

/**
 * @returns the sites as they settled: done, failed (parked, or waiting for the next attempt),
 *   cancelled or paused. The workflow goes on by itself.
 */
export async function watch(
  database: Database,
  what: Watch,
  output: NodeJS.WriteStream = process.stderr,
): Promise<LaneProgress[]> {
  const display = output.isTTY ? redrawn(output) : plain(output);
  const rates = new Map<string, Rate>();
  for (;;) {
    const found = await readProgress(database, what.distribution);
    if (found.length === 0)
      throw new DebgeoError(
        'NAME_UNKNOWN',
        `distribution ${what.distribution} is gone, or has no site`,
      );
    const sites = found.filter((site) => what.site === undefined || site.site === what.site);
    const width = Math.max(...sites.map((site) => site.site.length));
    const settled = sites.every((site) => what.done(site) || isHeld(site));
    display(
      sites.map((site) => ({
        site: site.site,
        line: lineOf(site, width, what.done(site), rateOf(rates, site)),
        steady: steadyPart(site, what.done(site)),
      })),
      settled,
    );
    if (settled) return sites;
    await sleep(POLL_MS);
  }
}

const isHeld = (site: LaneProgress): boolean =>
  site.paused || site.state === 'cancelled' || (site.state === 'failed' && !isWoken(site));

/** Parked, and about to try again: by a newer release, for one. */
const isWoken = ({ failure, retryAt }: LaneProgress): boolean =>
  failure !== null && needsPerson(failure.code) && retryAt !== null && retryAt <= Date.now();

interface Rate {
  readonly since: number;
  readonly from: number;
  /** A new plan starts a new count. */
  readonly plan: string;
}

const RATE_AFTER_MS = 1_000;

/** Bytes per second since this command saw the lane begin this plan; null: not known yet. */
function rateOf(rates: Map<string, Rate>, site: LaneProgress): number | null {
  const plan = `${site.state} ${site.generation} ${site.filesTotal} ${site.bytesTotal}`;
  const known = rates.get(site.site);
  if (known === undefined || known.plan !== plan || site.bytesDone < known.from) {
    rates.set(site.site, { since: Date.now(), from: site.bytesDone, plan });
    return null;
  }
  const elapsed = Date.now() - known.since;
  return elapsed < RATE_AFTER_MS || site.bytesDone === known.from
    ? null
    : ((site.bytesDone - known.from) / elapsed) * 1000;
}

const steadyPart = (site: LaneProgress, done: boolean): string =>
  JSON.stringify([site.state, site.served, site.paused, site.retryCount, done]);

function lineOf(site: LaneProgress, width: number, done: boolean, rate: number | null): string {
  const parts = [
    site.site.padEnd(width),
    done ? `serves generation ${site.served}, verified` : stateOf(site),
  ];
  if (!done && isCopying(site)) {
    parts.push(
      `${site.filesDone}/${site.filesTotal} files`,
      `${bytes(site.bytesDone)} of ${bytes(site.bytesTotal)}`,
    );
    if (rate !== null)
      parts.push(
        `${bytes(Math.round(rate))}/s`,
        `${duration(((site.bytesTotal - site.bytesDone) / rate) * 1000)} left`,
      );
  }
  return parts.join('  ');
}

/**
 * True while files are left in the plan that the row counts. Otherwise the lane plans (the row
 * still counts the generation before), reads back or publishes, and the numbers say nothing.
 */
const isCopying = (site: LaneProgress): boolean =>
  site.state === 'started' && site.filesDone < site.filesTotal;

function stateOf(site: LaneProgress): string {
  if (site.paused) return 'paused';
  if (site.state === 'failed') {
    const code = site.failure?.code ?? 'UNKNOWN';
    const next = duration(Math.max(0, (site.retryAt ?? Date.now()) - Date.now()));
    return `failed: ${code}, ${needsPerson(code) ? 'parked, ' : ''}next attempt in ${next}`;
  }
  if (site.state === 'cancelled') return 'cancelled';
  if (site.state === 'pending') return 'waits';
  return isCopying(site)
    ? `copies generation ${site.generation}`
    : `works on generation ${site.generation}`;
}

interface Line {
  readonly site: string;
  readonly line: string;
  readonly steady: string;
}
type Display = (lines: readonly Line[], last: boolean) => void;

function redrawn(output: NodeJS.WriteStream): Display {
  const redraw = redrawing(output);
  return (lines) => redraw(lines.map(({ line }) => line));
}

function plain(output: NodeJS.WriteStream): Display {
  const shown = new Map<string, { line: string; steady: string; at: number }>();
  return (lines, last) => {
    for (const { site, line, steady } of lines) {
      const before = shown.get(site);
      const due =
        before === undefined ||
        before.steady !== steady ||
        last ||
        Date.now() - before.at >= PLAIN_LINE_MS;
      if (!due || before?.line === line) continue;
      printLine(output, line);
      shown.set(site, { line, steady, at: Date.now() });
    }
  };
}
