import { Migration } from '@mikro-orm/migrations';

/** What a database that was restored from an older backup finds at its sites. */
export class Migration20261201Restores extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table distribution_replications
  add column lost_release bytea check (octet_length(lost_release) = 32),
  add column spared_until timestamptz;

alter table replication_sites
  add column prunes bigint not null default 0;

comment on column distribution_replications.lost_release is
  'R that H named at the site and this database lost, until a release is published over it';
comment on column distribution_replications.spared_until is
  'until then nothing is deleted at the site: clients may read other releases than the rows say';
comment on column replication_sites.prunes is
  'slices of prunes that deleted files; each H says of how many it knew';
`);
  }

  override down(): void {
    this.addSql(/* sql */ `
alter table replication_sites drop column prunes;
alter table distribution_replications drop column spared_until, drop column lost_release;
`);
  }
}
