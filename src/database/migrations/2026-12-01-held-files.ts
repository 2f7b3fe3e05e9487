import { Migration } from '@mikro-orm/migrations';

/**
 * Files that nothing needs and that a site does not delete: an immutability policy, a legal hold or
 * a lease keeps them. Prune remembers them, and asks again.
 */
export class Migration20261201HeldFiles extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table blob_registry add column refused_at timestamptz;
alter table site_releases add column refused_at timestamptz;
comment on column blob_registry.refused_at is
  'of state 4 (pruning): when the site refused last to delete it, with failure_code';
comment on column site_releases.refused_at is 'when the site refused last to delete it';
`);
  }

  override down(): void {
    this.addSql(/* sql */ `
alter table site_releases drop column refused_at;
alter table blob_registry drop column refused_at;
`);
  }
}
