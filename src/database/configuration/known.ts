/** What the tables hold when an apply begins. */
import { Archive } from '../entities/archive.ts';
import { DebianDistribution } from '../entities/debian-distribution.ts';
import { ReplicationSite } from '../entities/replication-site.ts';
import type { Tx } from '../orm.ts';

/** All of it by name, also what the configuration does not name. */
export interface Known {
  readonly archives: ReadonlyMap<string, Archive>;
  readonly sites: ReadonlyMap<string, ReplicationSite>;
  readonly distributions: ReadonlyMap<string, DebianDistribution>;
}

/** Archives first: a distribution then finds its own loaded. */
export async function readKnown({ em }: Tx): Promise<Known> {
  return {
    archives: byName(await em.find(Archive, {})),
    sites: byName(await em.find(ReplicationSite, {})),
    distributions: byName(await em.find(DebianDistribution, {})),
  };
}

const byName = <Row extends { readonly name: string }>(rows: readonly Row[]): Map<string, Row> =>
  new Map(rows.map((row) => [row.name, row]));
