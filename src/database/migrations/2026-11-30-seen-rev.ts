import { Migration } from '@mikro-orm/migrations';

/**
 * What operators changed, and what the workflow has seen of it: `apply` signals workflows, and a
 * signal that is lost is sent again by the reconciliation of a worker.
 */
export class Migration20261130SeenRev extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table debian_distributions
  -- of the last apply that changed it, its archive or one of its sites
  add column changed_rev bigint not null default 0,
  -- the changed_rev of the last roster that its workflow was given
  add column seen_rev bigint not null default 0;
`);
  }

  override down(): void {
    this.addSql('alter table debian_distributions drop column changed_rev, drop column seen_rev');
  }
}
