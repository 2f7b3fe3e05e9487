import { Migration } from '@mikro-orm/migrations';

/**
 * An open publication ends in one of two ways: InRelease is there, or it was given up for a newer
 * generation because it can never be finished. Open is what has neither.
 */
export class Migration20261201GivenUp extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table publications add column given_up_at timestamptz;
comment on column publications.given_up_at is
  'when a newer generation took its place before it was finished; open is what has neither this '
  'nor published_at; what was visible of it stays whole until the next publication, plus grace';

drop index publications_distribution_id_site_id_idx;
create unique index publications_open on publications (distribution_id, site_id)
  where published_at is null and given_up_at is null;
`);
  }

  override down(): void {
    this.addSql(/* sql */ `
delete from publications where given_up_at is not null;
drop index publications_open;
create unique index publications_distribution_id_site_id_idx
  on publications (distribution_id, site_id) where published_at is null;
alter table publications drop column given_up_at;
`);
  }
}
