import { Migration } from '@mikro-orm/migrations';

/** An operator's word that an older release may be taken; kept for ever, as the record of who took it and why. */
export class Migration20261123OlderAcceptances extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
create table older_acceptances (
  id bigint generated always as identity primary key,
  distribution_id int not null references debian_distributions on delete cascade,
  reason text not null check (reason ~ '\\S'),
  accepted_by text not null,
  accepted_at timestamptz not null default now(),
  taken_at timestamptz,                         -- a look at the archive began that may use it
  ended_at timestamptz,                         -- it was used, or that look has ended without
  generation int);                              -- that it let in; null: none
create index on older_acceptances (distribution_id) where ended_at is null;
`);
  }
}
