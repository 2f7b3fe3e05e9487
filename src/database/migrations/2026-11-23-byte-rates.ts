import { Migration } from '@mikro-orm/migrations';

/** Per site, what each worker may move to and from it; null: as fast as it goes. */
export class Migration20261123ByteRates extends Migration {
  override up(): void {
    this.addSql('alter table replication_sites add column bytes_per_second bigint check (bytes_per_second > 0)');
  }
}
