/** Which generations must stay whole: prune deletes what none of them names. */
import { sql, type RawBuilder } from 'kysely';

import { DebgeoError } from '../../domain/errors.ts';
import { type Tx } from '../orm.ts';
import { one } from '../sql.ts';

/**
 * A query of (distribution_id, generation, required), for `with kept as materialized (…)`.
 * Of every distribution:
 * - the newest captured generation;
 * - what the site serves, works on or shall serve;
 * - what it publishes, gave up or has not replaced, also where it is disabled or does not replicate
 *   the distribution any more: what was copied stays, and what may be visible;
 * - what it stopped serving, or showing in part, less than its grace ago;
 * - the newest that it served, as many as it keeps: so a clock that jumps forward does not end
 *   every grace at once.
 *
 * `required`: the catalog must have the generation whole.
 * @param siteId null: what any site needs
 */
export const keptGenerations = (siteId: number | null): RawBuilder<unknown> => sql`
  select distribution_id, generation, bool_or(required) as required
  from (
    select id as distribution_id, latest_generation as generation, true as required
    from debian_distributions
    union all
    select r.distribution_id, g.generation, true
    from distribution_replications r
    cross join lateral (
      values
        (r.desired_generation),
        (r.pinned_generation),
        (r.served_generation)
    ) g (generation)
    where ${ofSite('r', siteId)}
    union all
    select p.distribution_id, p.generation, p.replaced_at is null
    from (${rankedPublications(siteId)}) p
    where p.replaced_at is null
      or ${isKept}
  ) needed
  where generation > 0
  group by distribution_id, generation`;

/** Publications, each with its place among those that the site served, the newest first. */
export const rankedPublications = (siteId: number | null): RawBuilder<unknown> => sql`
  select p.id, p.distribution_id, p.generation, p.published_at, p.replaced_at,
    s.grace_ms, s.kept_generations,
    count(*) filter (where p.published_at is not null) over (
      partition by p.distribution_id, p.site_id
      order by p.generation desc
    ) as place
  from publications p
  join replication_sites s on s.id = p.site_id
  where ${ofSite('p', siteId)}`;

/** Of `p`, a ranked publication that was replaced: it is in its grace, or among the newest. */
export const isKept = sql<boolean>`
  (
    p.replaced_at > now() - p.grace_ms * interval '1 millisecond'
    or p.published_at is not null and p.place <= p.kept_generations
  )`;

const ofSite = (table: 'r' | 'p', siteId: number | null): RawBuilder<boolean> =>
  siteId === null ? sql<boolean>`true` : sql<boolean>`${sql.ref(`${table}.site_id`)} = ${siteId}`;

/**
 * Refuses to delete anything of an archive while it is not certain what is to be kept: there is no
 * required generation, or the catalog does not have all members of one. So it is in a database that
 * was restored or cut; deleting by it would delete what sites serve.
 * @throws PRUNE_REFUSED
 */
export async function assertKnown(
  tx: Tx,
  archive: { readonly id: number; readonly name: string },
  siteId: number | null,
): Promise<void> {
  const found = (await one(
    tx,
    sql<{
      required: number;
      distribution: string | null;
      generation: number | null;
      expected: number | null;
      found: number | null;
    }>`
      with kept as materialized (${keptGenerations(siteId)}),
      counted as (
        select d.name, k.generation,
          s.blob_count as expected,
          (
            select count(*)
            from snapshot_blobs m
            where m.distribution_id = k.distribution_id
              and m.from_generation <= k.generation
              and m.to_generation > k.generation
          ) as found
        from kept k
        join debian_distributions d on d.id = k.distribution_id
        left join distribution_snapshots s
          on s.distribution_id = k.distribution_id and s.generation = k.generation
        where k.required
          and d.archive_id = ${archive.id}
      )
      select (select count(*) from counted) as required,
        wrong.name as distribution,
        wrong.generation, wrong.expected, wrong.found
      from (select) one
      left join lateral (
        select *
        from counted
        where expected is distinct from found
        order by name, generation
        limit 1
      ) wrong on true`,
  ))!;
  if (found.required > 0 && found.distribution === null) return;
  const isEmpty = found.distribution === null;
  throw new DebgeoError(
    'PRUNE_REFUSED',
    isEmpty
      ? `nothing of archive ${archive.name} would be kept`
      : `the catalog does not have all of generation ${found.generation} of ` +
          `${found.distribution}, which is to be kept`,
    {
      expected: isEmpty ? 'at least one generation' : `${found.expected ?? 'some'} files`,
      found: isEmpty ? 'none' : `${found.found} files`,
      state: 'nothing was deleted',
    },
  );
}
