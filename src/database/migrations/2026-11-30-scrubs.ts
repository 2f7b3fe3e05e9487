import { Migration } from '@mikro-orm/migrations';

/**
 * The scrub of each site: every interval all of it is read back. Sites of before get 30 days, which
 * count from now; their first passes begin spread over a tenth of that.
 */
export class Migration20261130Scrubs extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table replication_sites
  add column scrub_interval_ms bigint default 2592000000 check (scrub_interval_ms > 0),
  add column paused boolean not null default false;

create table scrubs (
  site_id int primary key references replication_sites,
  interval_ms bigint check (interval_ms > 0),
  since timestamptz not null default now(),
  next_at timestamptz not null,
  asked_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  path_id bigint not null default 0,
  distribution_id int not null default 0,
  name text not null default '',
  files_total int not null default 0,
  bytes_total bigint not null default 0,
  files int not null default 0,
  bytes bigint not null default 0,
  wrong int not null default 0,
  repaired int not null default 0,
  last_started_at timestamptz,
  failure_code text,
  failure jsonb,
  failure_count int not null default 0,
  fence bigint not null default nextval('ticket'));

insert into scrubs (site_id, interval_ms, next_at)
select id,
  case when enabled then scrub_interval_ms end,
  now() + random() * scrub_interval_ms / 10 * interval '1 millisecond'
from replication_sites;

comment on column replication_sites.scrub_interval_ms is
  'so often all of the site is read back; null: never';
comment on column replication_sites.paused is
  'by an operator: the site is neither scrubbed nor pruned; lanes go on';
comment on table scrubs is 'one row per site: the pass in work, or the last one';
comment on column scrubs.site_id is 'the site that is read back';
comment on column scrubs.interval_ms is
  'scrub_interval_ms of the site since \`since\`; null: off, or the site is not enabled';
comment on column scrubs.since is 'when interval_ms was set to what it is';
comment on column scrubs.next_at is 'when the next slice, or the next pass, begins';
comment on column scrubs.asked_at is
  'an operator asked for a pass that begins after this, and reads without pauses; null: answered';
comment on column scrubs.started_at is 'of the pass in work, or of the last one';
comment on column scrubs.ended_at is 'of the last pass; null: a pass is in work';
comment on column scrubs.path_id is 'cursor: the last blob that the pass has read';
comment on column scrubs.distribution_id is
  'cursor: of the last published name that the pass has read';
comment on column scrubs.name is 'cursor: that name';
comment on column scrubs.files_total is 'what the site had when the pass began';
comment on column scrubs.bytes_total is 'bytes of those that are blobs';
comment on column scrubs.files is 'read by the pass';
comment on column scrubs.bytes is 'read by the pass';
comment on column scrubs.wrong is 'found wrong or missing by the pass';
comment on column scrubs.repaired is 'repaired by the pass itself; lanes repair the others';
comment on column scrubs.last_started_at is
  'when the last complete pass began: all of the site was right at this time or later';
comment on column scrubs.failure_code is 'of the last slice; null when it was fine';
comment on column scrubs.failure is 'the error report';
comment on column scrubs.failure_count is 'failures in a row';
comment on column scrubs.fence is 'the newest ticket that came; moved by failures';
comment on column claims.part is
  'of the work of one step, from 0; of the site itself, 0 is its prune and 1 its scrub';
`);
  }

  override down(): void {
    this.addSql(/* sql */ `
delete from claims where distribution_id is null and part = 1;
drop table scrubs;
alter table replication_sites drop column scrub_interval_ms, drop column paused;
comment on column claims.part is 'of the work of one step, from 0';
`);
  }
}
