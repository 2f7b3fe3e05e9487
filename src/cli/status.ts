/** `debgeo status [DIST]`: what each site serves and holds, and what is wrong. Read from PostgreSQL alone: it works without Temporal and without a worker. */
import { readStatus, type DistributionStatus, type SiteStatus } from '../database/status.ts';
import { DebgeoError, RULES } from '../domain/errors.ts';
import { ago, bytes, duration, table } from './amount.ts';
import { withDatabase, type Options } from './connect.ts';

export const status = async (name: string | undefined, options: Options & { json?: boolean }): Promise<number> =>
  withDatabase(options, async (database) => {
    const found = await readStatus(database, name);
    if (name !== undefined && found.length === 0) throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${name}`);
    process.stdout.write(
      options.json
        ? `${JSON.stringify(found, null, 2)}\n`
        : `${found.map((one) => describe(one, Date.now())).join('\n\n') || 'no distributions yet: debgeo apply FILE'}\n`,
    );
    return 0;
  });

export const describe = (one: DistributionStatus, now: number): string => {
  const head = `${one.distribution}: ${one.status}, generation ${one.generation} of ${one.archive} ${one.suite}, looked at ${ago(one.lookedAt, now)}`;
  const rows = one.sites.map((site) => [
    `  ${site.site}${site.primary ? '*' : ''}`,
    `serves ${site.served === 0 ? 'nothing' : site.served}`,
    site.paused ? `${site.state}, paused` : site.state,
    `${site.verified} of ${site.members} verified`,
    `verified ${ago(site.verifiedAt, now)}`,
    site.class === null
      ? ''
      : site.class === 'untorn'
        ? 'untorn'
        : `windowed${site.windowMs === null ? '' : ` (last ${site.windowMs} ms)`}`,
    doing(site, now),
  ]);
  const lines = [head, ...(rows.length > 0 ? [table(rows)] : ['  no sites'])];
  if (one.failure !== null) lines.push(`  ${one.failure.code}: ${one.failure.message}`, `    do: ${RULES[one.failure.code].remedy}`);
  for (const site of one.sites)
    if (site.failure !== null)
      lines.push(`  ${site.site}: ${site.failure.code}: ${site.failure.message}`, `    do: ${RULES[site.failure.code].remedy}`);
  return lines.join('\n');
};

const doing = (site: SiteStatus, now: number): string => {
  if (site.state === 'started')
    return `${site.filesDone}/${site.filesTotal} files, ${bytes(site.bytesDone)} of ${bytes(site.bytesTotal)} → ${site.target}`;
  if (site.state === 'failed')
    return site.retryAt === null
      ? 'parked until debgeo retry'
      : `tries again in ${duration(Math.max(0, site.retryAt - now))} (failure ${site.retryCount})`;
  return site.verifyRequestedAt === null ? '' : 'verify asked for';
};
