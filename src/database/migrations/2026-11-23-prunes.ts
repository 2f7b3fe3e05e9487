import { Migration } from '@mikro-orm/migrations';

/** What prune needs: how long and how much each site keeps, what its last run did, and a state for a blob that is being deleted. */
export class Migration20261123Prunes extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table replication_sites
  add column grace_ms bigint not null default 129600000 check (grace_ms >= 0),             -- 36 h from the moment that it stopped serving a snapshot
  add column kept_generations int not null default 2 check (kept_generations > 0),         -- of those served, the newest, whatever clocks say
  add column prune_interval_ms bigint not null default 3600000 check (prune_interval_ms > 0);

create table prunes (                           -- one row per site: what its last run did, and when the next begins
  site_id int primary key references replication_sites,
  next_at timestamptz not null,
  started_at timestamptz,
  ended_at timestamptz,                         -- of the last run that ended well
  blobs int not null default 0,                 -- deleted at the site since started_at
  bytes bigint not null default 0,
  snapshots int not null default 0,             -- deleted from the catalog since started_at
  more boolean not null default false,          -- that run reached its share: the rest is for the next ones
  failure_code text,                            -- of the last run; null when it was fine
  failure jsonb,                                -- the error report
  failure_count int not null default 0);

alter table blob_registry drop constraint blob_registry_state_check;
alter table blob_registry add constraint blob_registry_state_check check (state between 0 and 4);   -- 4 pruning
create index on blob_registry (blob_id);        -- for the deletion of what they refer to
create index on blob_registry (path_id);

alter table index_contents add column unused_since timestamptz;   -- of chunk 0: no stored snapshot names it; a capture that finds it here takes it up again
create index on index_contents (unused_since) where unused_since is not null;
create index on snapshot_indices (sha256);
`);
  }
}
