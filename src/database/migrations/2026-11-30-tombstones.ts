import { Migration } from '@mikro-orm/migrations';

/**
 * When a published name was deleted at a site. A write that a frozen worker sent before may arrive
 * after that, and finds nothing there which would contradict it: so the name is looked at again.
 */
export class Migration20261130Tombstones extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table published_names add column deleted_at timestamptz;
comment on column published_names.deleted_at is
  'when what we had there was deleted; null: it is there, or never was';
`);
  }

  override down(): void {
    this.addSql('alter table published_names drop column deleted_at');
  }
}
