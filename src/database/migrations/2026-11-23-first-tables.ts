import { Migration } from '@mikro-orm/migrations';

/**
 * The tables of the first release. Checked text, not enum types, for states: readable in psql and easy to extend; smallint with a check in
 * `blob_registry`, which has a row per (site, file). Times are timestamptz; the workflow sees them as milliseconds.
 */
export class Migration20261123FirstTables extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
create sequence revision;                       -- rev of rows that workflows keep copies of: the larger is the newer, across deletes too

create table archives (
  id int generated always as identity primary key,
  name text not null unique,
  url text not null,
  mount text not null unique,                   -- folder on every site: two archives never meet
  keyring bytea,                                -- null: unsigned is allowed, on purpose
  redirect_origins text[] not null default '{}',
  check (mount <> '' and mount not like '/%' and mount not like '%/'));

create table replication_sites (
  id int generated always as identity primary key,
  name text not null unique,
  account_url text not null,
  container text not null,
  prefix text not null default '',
  public_url text not null,
  credential jsonb not null,                    -- {"env": NAME} or {"file": PATH}: a reference, never the secret
  worker_group text,                            -- task queue debgeo-site-<worker_group or name>
  enabled boolean not null default true,
  unique (account_url, container, prefix));

create table debian_distributions (
  id int generated always as identity primary key,
  name text not null unique,
  archive_id int not null references archives,
  suite text not null,
  components text[] not null default '{}',
  architectures text[] not null default '{}',
  replication_status text not null default 'pending' check (replication_status in ('pending', 'success', 'failed')),
  replication_site_id int references replication_sites,   -- the primary: advertised, first source of repair
  removed boolean not null default false,
  poll_interval_ms bigint not null default 600000,
  accept_undated boolean not null default false,
  tuning jsonb not null default '{}',
  latest_generation int not null default 0,
  in_release_etag text,                         -- validator of the last accepted InRelease (or Release)
  in_release_last_modified text,
  looks int not null default 0,                 -- since the archive was last asked unconditionally
  failure_code text,                            -- of the last look at the archive; null when it was fine
  failure jsonb,                                -- the error report
  failure_count int not null default 0,
  looked_at timestamptz,
  next_look_at timestamptz not null default now(),
  rev bigint not null default nextval('revision'),
  unique (archive_id, suite));

create table distribution_snapshots (
  distribution_id int not null references debian_distributions on delete cascade,
  generation int not null check (generation > 0),
  in_release bytea,
  release bytea,
  release_gpg bytea,
  body_sha256 bytea not null check (octet_length(body_sha256) = 32),
  date timestamptz,
  valid_until timestamptz,
  signers text[] not null,
  untorn boolean not null,
  blob_count int not null check (blob_count > 0),   -- 0 of 0 is never verified
  blob_bytes bigint not null,
  captured_at timestamptz not null default now(),
  primary key (distribution_id, generation),
  check (in_release is not null or release is not null));

create table snapshot_indices (                 -- canonical names: what they hold in one generation; sha256 null: listed, and absent at the archive
  distribution_id int not null,
  generation int not null,
  path text not null,
  sha256 bytea check (octet_length(sha256) = 32),
  size bigint not null,
  primary key (distribution_id, generation, path),
  foreign key (distribution_id, generation) references distribution_snapshots on delete cascade);

create table index_contents (                   -- bytes of captured indices by digest, in chunks of LIMITS.chunkBytes
  sha256 bytea not null check (octet_length(sha256) = 32),
  chunk int not null,
  bytes bytea not null,
  primary key (sha256, chunk));
alter table index_contents alter column bytes set storage external;   -- already compressed, most of them

create table paths (
  id bigint generated always as identity primary key,
  archive_id int not null references archives,
  path text not null,
  unique (archive_id, path));

create table blobs (
  id bigint generated always as identity primary key,
  path_id bigint not null references paths,
  size bigint not null check (size >= 0),
  sha256 bytea not null check (octet_length(sha256) = 32),
  unique (path_id, sha256));

create table snapshot_blobs (                   -- immutable members (pool, by-hash) as generation ranges [from, to): a generation costs only its changes
  distribution_id int not null references debian_distributions on delete cascade,
  blob_id bigint not null references blobs,
  from_generation int not null,
  to_generation int not null default 2147483647,
  primary key (distribution_id, blob_id, from_generation),
  check (from_generation < to_generation));
create index on snapshot_blobs (distribution_id, from_generation);
create index on snapshot_blobs (distribution_id, to_generation) where to_generation < 2147483647;
create index on snapshot_blobs (blob_id);

create table blob_registry (                    -- one row per (site, immutable path): what the site has, and the plan
  site_id int not null references replication_sites,
  path_id bigint not null references paths,
  blob_id bigint not null references blobs,
  state smallint not null default 0 check (state between 0 and 3),                            -- pending started synced failed
  verification_state smallint not null default 0 check (verification_state between 0 and 3), -- pending started succeeded failed
  attempt bigint not null default 0,            -- scheduled time of the attempt that claimed it, ms
  etag text,                                    -- of our last write, or of what was found there last
  verified_at timestamptz,                      -- when a GET bound to etag returned bytes of this blob's digest (I2)
  retry_count smallint not null default 0,
  failure_code text,
  settled boolean generated always as (state = 2 and verification_state = 2) stored,         -- the planner uses a partial index on this, not on two columns
  primary key (site_id, path_id)) with (autovacuum_vacuum_scale_factor = 0.05);
create index on blob_registry (site_id, path_id) where not settled;
create index on blob_registry (site_id, verified_at) where settled;

create table distribution_replications (
  distribution_id int not null references debian_distributions on delete cascade,
  site_id int not null references replication_sites,
  desired_generation int not null default 0,
  pinned_generation int,
  served_generation int not null default 0,
  state text not null default 'pending' check (state in ('pending', 'started', 'synced', 'failed', 'cancelled')),
  paused boolean not null default false,
  cancel_requested boolean not null default false,   -- while a publication was open: takes effect when that has ended
  fence bigint not null default 0,              -- scheduled time of the newest attempt, ms: only taken when newer
  retry_count int not null default 0,
  retry_at timestamptz,
  failure_code text,
  failure jsonb,                                -- the error report
  verify_requested_at timestamptz,              -- the newest request that is not answered
  verify_taken_at timestamptz,                  -- the request that a chain reads for, from its first checksum until it is answered
  verify_answered_at timestamptz,               -- the request that was satisfied last: who asked before it knows that his is
  files_done int not null default 0,
  files_total int not null default 0,
  bytes_done bigint not null default 0,
  bytes_total bigint not null default 0,
  started_at timestamptz,
  last_synced_at timestamptz,
  verified_at timestamptz,
  window_ms int,                                -- of the last publication: how long published names were changing
  rev bigint not null default nextval('revision'),
  primary key (distribution_id, site_id));
create index on distribution_replications (site_id, fence);

create table published_names (                  -- mutable names at a site: canonical indices and the Release set; sha256 null: absent
  site_id int not null references replication_sites,
  distribution_id int not null references debian_distributions,
  path text not null,
  sha256 bytea check (octet_length(sha256) = 32),
  etag text,
  last_modified timestamptz,
  verified_at timestamptz,
  primary key (site_id, distribution_id, path));

create table publications (                     -- intents and what became of them; open while published_at is null
  id bigint generated always as identity primary key,
  distribution_id int not null references debian_distributions,
  site_id int not null references replication_sites,
  generation int not null,
  fence bigint not null,
  replaces jsonb not null,                      -- {path: etag or null} of every published name before the first write
  started_at timestamptz not null default now(),
  published_at timestamptz,
  replaced_at timestamptz);                     -- grace runs from here, at this site
create unique index on publications (distribution_id, site_id) where published_at is null;

create table incidents (                        -- a refused release or a broken promise
  id bigint generated always as identity primary key,
  distribution_id int references debian_distributions on delete cascade,
  site_id int references replication_sites,
  generation int,
  code text not null,
  path text,
  message text not null,
  expected text,
  found text,
  first_at timestamptz not null default now(),
  last_at timestamptz not null default now(),
  times int not null default 1,
  resolved_at timestamptz,
  resolution text);
create index on incidents (distribution_id, last_at);
create unique index incidents_open on incidents (distribution_id, site_id, code, path) nulls not distinct where resolved_at is null;

create table distribution_events (              -- the record of what happened
  id bigint generated always as identity primary key,
  distribution_id int not null references debian_distributions on delete cascade,
  site_id int references replication_sites,
  generation int,
  what text not null,                           -- captured, published, synced, cancelled, …
  facts jsonb not null default '{}',
  at timestamptz not null default now());
create index on distribution_events (distribution_id, id);

create function next_revision() returns trigger language plpgsql as $$   -- no writer can forget it
begin
  new.rev := nextval('revision');
  return new;
end $$;
create trigger revision before update on debian_distributions for each row execute function next_revision();
create trigger revision before update on distribution_replications for each row execute function next_revision();
`);
  }
}
