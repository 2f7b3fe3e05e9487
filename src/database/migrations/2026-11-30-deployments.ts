import { Migration } from '@mikro-orm/migrations';

/**
 * Whose database this is, and what it knows of the objects below `.debgeo/` at its sites:
 * docs/site-format.md.
 */
export class Migration20261130Deployments extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
create table deployment (
  singleton boolean primary key default true check (singleton),
  id uuid not null default gen_random_uuid(),
  epoch int not null default 0 check (epoch >= 0));

insert into deployment default values;

alter table replication_sites add column anchor_etag text;

create table site_releases (
  id bigint generated always as identity primary key,
  site_id int not null references replication_sites,
  distribution_id int not null references debian_distributions,
  generation int not null,
  digest bytea not null check (octet_length(digest) = 32),
  etag text,
  removed_at timestamptz,
  unique (site_id, distribution_id, digest));

create table site_heads (
  site_id int not null references replication_sites,
  distribution_id int not null references debian_distributions,
  release_id bigint not null references site_releases,
  etag text not null,
  primary key (site_id, distribution_id));

comment on table deployment is 'one row: whose the sites are that this database has claimed';
comment on column deployment.singleton is 'there is no second row';
comment on column deployment.id is 'made once per database; a restored one keeps it';
comment on column deployment.epoch is 'how often the database was restored from a backup';
comment on column replication_sites.anchor_etag is
  'of S, as it was written or read; null: the site is not claimed';
comment on table site_releases is
  'each R that was or may be at a site: booked before it is written';
comment on column site_releases.id is 'in the order in which they were published at a site';
comment on column site_releases.site_id is 'where it is';
comment on column site_releases.distribution_id is 'whose release it is';
comment on column site_releases.generation is 'of the distribution: prune needs R as long as it';
comment on column site_releases.digest is 'SHA-256 of R, which is its name';
comment on column site_releases.etag is 'of the write; null: its answer was lost';
comment on column site_releases.removed_at is 'when prune deleted it at the site';
comment on table site_heads is 'H of each distribution at a site, as it was written last';
comment on column site_heads.site_id is 'where it is';
comment on column site_heads.distribution_id is 'whose head it is';
comment on column site_heads.release_id is 'what it names';
comment on column site_heads.etag is 'of that write';
`);
  }

  override down(): void {
    this.addSql(/* sql */ `
drop table site_heads;
drop table site_releases;
alter table replication_sites drop column anchor_etag;
drop table deployment;
`);
  }
}
