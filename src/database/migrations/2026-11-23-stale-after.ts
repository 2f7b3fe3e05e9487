import { Migration } from '@mikro-orm/migrations';

/** Per distribution, how old its newest release may become before that is shown; null: as old as it likes. */
export class Migration20261123StaleAfter extends Migration {
  override up(): void {
    this.addSql('alter table debian_distributions add column stale_after_ms bigint check (stale_after_ms > 0)');
  }
}
