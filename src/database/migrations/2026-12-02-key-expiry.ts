import { Migration } from '@mikro-orm/migrations';

/** When what signed the newest release of a distribution expires. */
export class Migration20261202KeyExpiry extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table debian_distributions add column signatures jsonb;
comment on column debian_distributions.signatures is
  'good signatures of the newest release at the last fine look, and until when they are good';
`);
  }

  override down(): void {
    this.addSql('alter table debian_distributions drop column signatures;');
  }
}
