import { Migration } from '@mikro-orm/migrations';

/** Archives that ask for a login, with certificates of their own, in private networks. */
export class Migration20261202ArchiveAccess extends Migration {
  override up(): void {
    this.addSql(/* sql */ `
alter table archives
  add column login jsonb,
  add column ca bytea,
  add column private_network boolean not null default false,
  add column insecure boolean not null default false;

-- What was configured before there was a rule stays as it was permitted.
update archives set private_network = true;

comment on column archives.login is
  'where the secrets are (a variable, a file), never the secrets';
comment on column archives.private_network is
  'the archive, and where it redirects to, may have a loopback or private address';
`);
  }

  override down(): void {
    this.addSql(/* sql */ `
alter table archives
  drop column insecure,
  drop column private_network,
  drop column ca,
  drop column login;
`);
  }
}
