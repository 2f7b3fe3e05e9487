import { Migration } from '@mikro-orm/migrations';

/**
 * A failed lane always has a time at which it tries again, also one that waits for a person. So do
 * those that stand here, and those that workers of the version before write while they end.
 */
export class Migration20261201Wake extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
create function wake_within_the_hour() returns trigger language plpgsql as $$
begin
  new.retry_at := now() + interval '1 hour';
  return new;
end $$;
create trigger wake_within_the_hour before update on distribution_replications
  for each row when (new.state = 'failed' and new.retry_at is null)
  execute function wake_within_the_hour();

create index on distribution_replications (site_id) where state = 'failed';

with parked as (
  update distribution_replications
  set retry_at = now() + random() * interval '1 hour'
  where state = 'failed'
    and retry_at is null
  returning distribution_id
)
update debian_distributions d
set changed_rev = nextval('revision')
from (select distinct distribution_id from parked) p
where d.id = p.distribution_id;
comment on column distribution_replications.retry_at is
  'when a failed lane tries again; null in any other state';
`);
  }

  override down(): void {
    this.addSql(/* sql */ `
drop index distribution_replications_site_id_idx;
drop trigger wake_within_the_hour on distribution_replications;
drop function wake_within_the_hour();
`);
  }
}
