import { Migration } from '@mikro-orm/migrations';

/**
 * Which attempt works on a lane is said by tickets of this database, and no longer by the clock of
 * whatever scheduled it; a blob is claimed by a row that goes with its attempt.
 *
 * What attempts of the version before have claimed (`started`, `attempt`) names no claim, and is
 * free for the next. Tickets begin 10^12 (30 years of milliseconds) above every fence that is
 * stored: a worker of that version which still runs is FENCED by the first step that has a ticket.
 */
export class Migration20261130Claims extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
create sequence ticket increment 1000;

select setval('ticket', 1000000000000 + greatest(
  (select coalesce(max(fence), 0) from distribution_replications),
  (select coalesce(max(fence), 0) from publications),
  (select coalesce(max(attempt), 0) from blob_registry),
  floor(extract(epoch from now()) * 1000)::bigint));

create table claims (
  id bigint generated always as identity primary key,
  site_id int not null references replication_sites,
  distribution_id int,
  part int not null default 0,
  ticket bigint not null,
  attempt int not null,
  files int not null default 0,
  bytes bigint not null default 0,
  foreign key (distribution_id, site_id)
    references distribution_replications on delete cascade,
  unique nulls not distinct (site_id, distribution_id, part));

alter table blob_registry add column claim bigint;
alter table distribution_replications alter column fence set default nextval('ticket');
alter table prunes add column fence bigint not null default nextval('ticket');
drop index distribution_replications_site_id_fence_idx;

comment on sequence ticket is
  'orders the steps of a lane, and of a prune: each row that a workflow reads brings the next';
comment on table claims is
  'attempts that are at work; without its row, an attempt is over and changes nothing';
comment on column claims.id is 'never given twice';
comment on column claims.site_id is 'where it works';
comment on column claims.distribution_id is 'of a lane; null: of the site itself, a prune';
comment on column claims.part is 'of the work of one step, from 0';
comment on column claims.ticket is 'of the row that its workflow decided on';
comment on column claims.attempt is 'count of Temporal, from 1: the later of one ticket counts';
comment on column claims.files is 'settled by it, and not in files_done of its lane yet';
comment on column claims.bytes is 'settled by it, and not in bytes_done of its lane yet';
comment on column blob_registry.claim is 'of its attempt; dead without a row of claims';
comment on column blob_registry.attempt is
  'of the version before claims; 0 wherever a claim was taken since';
comment on column distribution_replications.fence is
  'the newest ticket that came; moved by failures and cancels';
comment on column prunes.fence is 'the newest ticket that came; moved by failures';
`);
  }

  override down(): void {
    this.addSql(/* sql */ `
create index distribution_replications_site_id_fence_idx
  on distribution_replications (site_id, fence);
alter table prunes drop column fence;
alter table distribution_replications alter column fence set default 0;
update distribution_replications set fence = 0;
update blob_registry set state = 0, attempt = 0 where state = 1;
alter table blob_registry drop column claim;
drop table claims;
drop sequence ticket;
`);
  }
}
