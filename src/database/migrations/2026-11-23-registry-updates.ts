import { Migration } from '@mikro-orm/migrations';

/**
 * A row of `blob_registry` is written thrice in a first sync and once more by every verification. Room in its page, and no index on what only changes,
 * let PostgreSQL write the new version beside the old one and leave the indices alone (a heap-only tuple).
 */
export class Migration20261123RegistryUpdates extends Migration {
  override up(): void {
    this.addSql('alter table blob_registry set (fillfactor = 50)'); // of pages that are filled from now on
    this.addSql('drop index blob_registry_site_id_verified_at_idx'); // pages are read in the order of path ids, by the primary key
  }

  override down(): void {
    this.addSql('create index on blob_registry (site_id, verified_at) where settled');
    this.addSql('alter table blob_registry reset (fillfactor)');
  }
}
