/**
 * Brings archives, sites and distributions in the tables to what a configuration says, in one
 * transaction. Nothing is ever deleted: a distribution that is `absent` is marked removed, and so
 * its workflow ends; its blobs stay at the sites.
 */
import {
  raw,
  type EntityClass,
  type EntityManager,
  type RequiredEntityData,
} from '@mikro-orm/postgresql';

import { Archive } from '../entities/archive.ts';
import { DebianDistribution } from '../entities/debian-distribution.ts';
import { ReplicationSite } from '../entities/replication-site.ts';
import { lockForApply } from '../locks.ts';
import type { Database, Tx } from '../orm.ts';
import type { AppliedConfiguration } from './applied-configuration.ts';
import { columnsOfArchive, columnsOfDistribution, columnsOfSite } from './columns.ts';
import { readKnown } from './known.ts';
import { markChanged, wakeChanged } from './mark-changed.ts';
import { refuseForbidden } from './refuse-forbidden.ts';
import { replicateTo } from './replicate-to.ts';
import { restartScrubs } from './restart-scrubs.ts';

export type { AppliedConfiguration } from './applied-configuration.ts';

export interface Change {
  readonly kind: 'archive' | 'site' | 'distribution';
  readonly name: string;
  readonly what: 'added' | 'changed' | 'removed' | 'unchanged';
}

/**
 * @param dryRun everything is tried in the database and rolled back
 * @throws CONFIG_INVALID where a change would make what is at a site unreachable (another mount,
 *   another place, another suite)
 */
export async function applyConfiguration(
  database: Database,
  configuration: AppliedConfiguration,
  dryRun: boolean,
): Promise<Change[]> {
  let changes: Change[] = [];
  try {
    await database.transaction(async (tx) => {
      changes = await apply(tx, configuration);
      if (dryRun) throw new DryRun();
    });
  } catch (error) {
    if (!(error instanceof DryRun)) throw error;
  }
  return changes;
}

class DryRun extends Error {}

async function apply(tx: Tx, configuration: AppliedConfiguration): Promise<Change[]> {
  const { em } = tx;
  await lockForApply(tx, {
    archives: Object.keys(configuration.archives),
    sites: Object.keys(configuration.sites),
    distributions: Object.keys(configuration.distributions),
  });
  const known = await readKnown(tx);
  await refuseForbidden(tx, known, configuration);
  const present = new Set<object>([
    ...[...known.sites.values()].filter((site) => site.enabled),
    ...[...known.distributions.values()].filter((distribution) => !distribution.removed),
  ]);

  const archives = mapOf(configuration.archives, (name, archive) =>
    put(em, Archive, known.archives.get(name), columnsOfArchive(name, archive)),
  );
  const sites = mapOf(configuration.sites, (name, site) =>
    put(em, ReplicationSite, known.sites.get(name), columnsOfSite(name, site)),
  );
  const distributions = mapOf(configuration.distributions, (name, distribution) => {
    const columns = columnsOfDistribution(name, distribution, archives, sites);
    return put(em, DebianDistribution, known.distributions.get(name), columns);
  });
  const written = writtenBy(em);
  for (const distribution of new Set([...known.distributions.values(), ...distributions.values()]))
    if (written.has(distribution) || written.has(distribution.archive.getEntity()))
      lookAtOnce(distribution);
  await em.flush();
  em.clear(); // what follows writes to the same rows by SQL

  await restartScrubs(tx);
  for (const [name, distribution] of distributions) {
    const names = distribution.removed ? [] : configuration.distributions[name]!.sites;
    const ids = names.map((site) => sites.get(site)!.id);
    if (await replicateTo(tx, distribution.id, ids)) written.add(distribution);
  }
  const idsOf = (rows: ReadonlyMap<string, { readonly id: number }>): number[] =>
    [...rows.values()].filter((row) => written.has(row)).map(({ id }) => id);
  const changed = {
    archives: idsOf(archives),
    sites: idsOf(sites),
    distributions: idsOf(distributions),
  };
  await wakeChanged(tx, changed);
  await markChanged(tx, changed);

  const changesOf = (
    kind: Change['kind'],
    rows: ReadonlyMap<string, object>,
    knownRows: ReadonlyMap<string, object>,
    isAbsent: (name: string) => boolean,
  ): Change[] =>
    [...rows].map(([name, row]) => {
      if (!knownRows.has(name)) return { kind, name, what: 'added' };
      if (present.has(row) && isAbsent(name)) return { kind, name, what: 'removed' };
      return { kind, name, what: written.has(row) ? 'changed' : 'unchanged' };
    });
  return [
    ...changesOf('archive', archives, known.archives, () => false),
    ...changesOf('site', sites, known.sites, (name) => !sites.get(name)!.enabled),
    ...changesOf(
      'distribution',
      distributions,
      known.distributions,
      (name) => distributions.get(name)!.removed,
    ),
  ];
}

const mapOf = <Input, Row>(
  inputs: Readonly<Record<string, Input>>,
  rowOf: (name: string, input: Input) => Row,
): Map<string, Row> =>
  new Map(Object.entries(inputs).map(([name, input]) => [name, rowOf(name, input)]));

/** The known row with these columns, or a new one. */
const put = <Row extends object>(
  em: EntityManager,
  entity: EntityClass<Row>,
  known: Row | undefined,
  columns: RequiredEntityData<Row>,
): Row => (known === undefined ? em.create(entity, columns) : em.assign(known, columns as object));

/** Rows that a flush would write: made, or assigned to something else than they were. */
function writtenBy(em: EntityManager): Set<object> {
  const unitOfWork = em.getUnitOfWork();
  unitOfWork.computeChangeSets();
  return new Set(unitOfWork.getChangeSets().map(({ entity }) => entity));
}

/** What was captured may differ from what is configured now: the archive is asked again for all. */
function lookAtOnce(distribution: DebianDistribution): void {
  distribution.inReleaseEtag = null;
  distribution.inReleaseLastModified = null;
  distribution.nextLookAt = raw('now()');
}
