/**
 * The row of a site's prune: what its workflow decides on, and what status shows. Each writer
 * answers with the row that it commits.
 */
import { raw, type EntityData, type Loaded } from '@mikro-orm/postgresql';
import { sql } from 'kysely';

import {
  DebgeoError,
  needsPerson,
  printableReport,
  type ErrorReport,
} from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import type { SitePrune } from '../../domain/replication.ts';
import { dropClaims, endClaim, laterFence, nextTicket, takeClaim } from '../claims.ts';
import { Prune } from '../entities/prune.ts';
import { ReplicationSite } from '../entities/replication-site.ts';
import type { Database, Tx } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { queueOf } from '../replication-row.ts';
import { backoffOf } from '../replications/waits.ts';
import { all, later, msUntil, now, one, run } from '../sql.ts';
import { countOfHeld, endHeld } from './held-files.ts';
import type { PruneClaim } from './marked-blobs.ts';

/**
 * The first prune of a site comes an interval after its row was asked for first. Not there: not
 * enabled.
 */
export async function loadPrune(db: Database, site: string): Promise<SitePrune> {
  if ((await findPrune(db.read, site)) === null) await insertPrune(db.read, site);
  return readPrune(db.read, site);
}

/** In SQL: the time is computed from another row, and whichever worker asks first inserts. */
const insertPrune = (tx: Tx, site: string): Promise<number> =>
  run(
    tx,
    sql`
      insert into prunes (site_id, next_at)
      select id, now() + prune_interval_ms * interval '1 millisecond'
      from replication_sites
      where name = ${site}
      on conflict do nothing`,
  );

/**
 * A slice of deletions begins: its claim ends those of all before it, as that of a lane does.
 * @param ticket of the row that the workflow decided on; null: of a version without tickets
 * @returns `stale`: a newer ticket came before, and this row is newer than what was decided on
 * @throws FENCED this attempt or a later one of the same slice began before
 * @throws NAME_UNKNOWN
 */
export function startDeleting(
  db: Database,
  site: string,
  ticket: number | null,
  attempt: number,
): Promise<PruneClaim | { readonly stale: SitePrune }> {
  return db.transaction(async (tx) => {
    await insertPrune(tx, site);
    const locked = await lockPrune(tx, site);
    if (locked === null) throw new DebgeoError('NAME_UNKNOWN', `there is no site ${site}`);
    const { siteId, fence, next } = locked;
    if (ticket !== null && fence > ticket) return { stale: await readPrune(tx, site) };
    const of = { siteId, distributionId: null };
    const { id: claim } = await takeClaim(tx, of, { ticket: ticket ?? next, attempt });
    await writePrune(tx, siteId, { fence: ticket ?? next });
    return { siteId, claim };
  });
}

/** The slice has ended: what it still claims is free. */
export const endDeleting = (db: Database, { claim }: PruneClaim): Promise<unknown> =>
  endClaim(db.read, { claim });

/** With the ticket behind its fence. Locked in SQL, and found afterwards. */
const lockPrune = (tx: Tx, site: string) =>
  one(
    tx,
    sql<{ siteId: number; fence: number; next: number }>`
      select site_id as "siteId", fence, ${nextTicket('fence')} as next
      from prunes
      where site_id = (select id from replication_sites where name = ${site})
      for no key update`,
  );

type FoundPrune = Loaded<Prune, 'site'>;

const findPrune = ({ em }: Tx, site: string): Promise<FoundPrune | null> =>
  em.findOne(Prune, { site: { name: site } }, { populate: ['site'], refresh: true });

async function readPrune(tx: Tx, site: string): Promise<SitePrune> {
  const prune = await findPrune(tx, site);
  if (prune === null) return noPrune(site);
  const issued = await one(
    tx,
    sql<{ ticket: number; nextInMs: number }>`
      select ${nextTicket('fence')} as ticket, ${msUntil('next_at')} as "nextInMs"
      from prunes
      where site_id = ${prune.site.id}`,
  );
  return { ...sitePruneOf(prune), ...issued! };
}

function sitePruneOf(prune: FoundPrune): SitePrune {
  const site = prune.site.$;
  return {
    site: site.name,
    queue: queueOf(site),
    enabled: site.enabled,
    paused: site.paused,
    nextAt: prune.nextAt.getTime(),
    startedAt: prune.startedAt?.getTime() ?? null,
    endedAt: prune.endedAt?.getTime() ?? null,
    blobs: prune.blobs,
    bytes: prune.bytes,
    snapshots: prune.snapshots,
    more: prune.more,
    code: prune.failureCode ?? null,
  };
}

/** Before the first run. */
const noPrune = (site: string): SitePrune => ({
  site,
  queue: '',
  enabled: false,
  nextAt: 0,
  startedAt: null,
  endedAt: null,
  blobs: 0,
  bytes: 0,
  snapshots: 0,
  more: false,
  code: null,
});

/** A run begins: what it deletes is counted from here. */
export const startPrune = (db: Database, siteId: number): Promise<unknown> =>
  writePrune(db.read, siteId, {
    startedAt: now(),
    blobs: 0,
    bytes: 0,
    snapshots: 0,
    more: false,
  });

const writePrune = ({ em }: Tx, siteId: number, columns: EntityData<Prune>): Promise<number> =>
  em.nativeUpdate(Prune, { site: siteId }, columns);

/** A run has deleted so much more at the site. */
export const countDeleted = (
  tx: Tx,
  siteId: number,
  deleted: { readonly blobs: number; readonly bytes: number },
): Promise<unknown> =>
  writePrune(tx, siteId, {
    blobs: raw('blobs + ?', [deleted.blobs]),
    bytes: raw('bytes + ?', [deleted.bytes]),
  });

/** All that the share allows is marked. */
export async function recordMarked(db: Database, site: string, more: boolean): Promise<SitePrune> {
  const prune = await findPrune(db.read, site);
  if (prune !== null) await writePrune(db.read, prune.site.id, { more });
  return readPrune(db.read, site);
}

/** The run has ended well. */
export async function finishPrune(
  db: Database,
  site: string,
  snapshots: number,
): Promise<SitePrune> {
  const prune = await findPrune(db.read, site);
  if (prune !== null) {
    await writePrune(db.read, prune.site.id, {
      endedAt: now(),
      snapshots: raw('snapshots + ?', [snapshots]),
      failureCode: null,
      failure: null,
      failureCount: 0,
      nextAt: later(prune.site.$.pruneIntervalMs),
    });
    await endHeld(db.read, prune.site.id);
  }
  return readPrune(db.read, site);
}

/**
 * The run failed and is tried again, no later than the next one would come: ever later, or within
 * the hour where a person has to act first.
 * @param ticket the newest that the workflow holds, null: none. Where the fence is beyond it,
 *   another run began, or this failure is on record: nothing changes
 */
export function recordPruneFailure(
  db: Database,
  site: string,
  report: ErrorReport,
  ticket: number | null,
): Promise<SitePrune> {
  return bookkeeping(db, async (tx) => {
    const locked = await lockPrune(tx, site);
    const prune = await findPrune(tx, site);
    if (locked === null || prune === null) return noPrune(site);
    if (ticket !== null && locked.fence > ticket) return readPrune(tx, site);
    await dropClaims(tx, { siteId: locked.siteId, distributionId: null });
    const { pruneIntervalMs } = prune.site.$;
    const failureCount = prune.failureCount + 1;
    const wait = needsPerson(report.code) ? LIMITS.parkedMs : backoffOf(failureCount);
    await writePrune(tx, prune.site.id, {
      fence: laterFence(ticket),
      failureCode: report.code,
      failure: printableReport(report),
      failureCount,
      nextAt: later(Math.min(pruneIntervalMs, wait)),
    });
    return readPrune(tx, site);
  });
}

/** What an operator sees of the last prune of a site. */
export interface PruneStatus extends SitePrune {
  readonly siteId: number;
  readonly failure: ErrorReport | null;
  /** Files that nothing needs and that the site does not delete, now. */
  readonly held: number;
}

/** Of each enabled site, by name. */
export async function readPrunes(db: Database): Promise<PruneStatus[]> {
  const { em } = db.read;
  const sites = await em.find(ReplicationSite, { enabled: true }, { orderBy: { name: 'asc' } });
  const prunes = await em.find(Prune, { site: { enabled: true } }, { populate: ['site'] });
  const counts = await all(
    db.read,
    sql<{ id: number; held: number }>`
      select s.id, ${countOfHeld(sql`s.id`)} as held
      from replication_sites s
      where s.enabled`,
  );
  const heldBy = new Map(counts.map(({ id, held }) => [id, held]));
  return sites.map((site) => {
    const prune = prunes.find((one) => one.site.id === site.id);
    const row = prune === undefined ? noPrune(site.name) : sitePruneOf(prune);
    const held = heldBy.get(site.id) ?? 0;
    return { ...row, siteId: site.id, failure: prune?.failure ?? null, held };
  });
}
