/**
 * `debgeo keys DIST`: which keys are pinned for its archive, until when they are good, and who
 * signed the newest release. It reads PostgreSQL alone.
 */
import { describeKeyring, type PinnedKey } from '../archive/pinned-keys.ts';
import { readDistribution } from '../database/catalog/distributions.ts';
import type { Database } from '../database/orm.ts';
import { judgeNewest, readNewestRelease } from '../database/replications/newest-release.ts';
import { DebgeoError, type ErrorReport } from '../domain/errors.ts';
import type { GoodSignature } from '../domain/key-expiry.ts';
import { printable } from '../domain/text.ts';
import { duration } from './amount.ts';
import { withDatabase, type Options } from './connect.ts';
import { describeError } from './print-error.ts';
import { print, printAsJson } from './terminal.ts';

interface Keys {
  readonly distribution: string;
  readonly archive: string;
  /** Null: unsigned is accepted, on purpose. */
  readonly pinned: readonly PinnedKey[] | null;
  /** The newest release that was captured; 0 before the first. */
  readonly generation: number;
  /** Of that release, at the last look that went well; null before the first. */
  readonly signatures: readonly GoodSignature[] | null;
  /** KEY_EXPIRES, or null. */
  readonly expiring: ErrorReport | null;
}

export function keys(name: string, options: Options & { json?: boolean }): Promise<number> {
  return withDatabase(options, async (database) => {
    const now = new Date();
    const found = await readKeys(database, name, now);
    if (options.json === true) printAsJson(found);
    else print(describe(found, now.getTime()));
    return 0;
  });
}

/** @throws NAME_UNKNOWN */
async function readKeys({ read }: Database, name: string, now: Date): Promise<Keys> {
  const record = await readDistribution(read, name);
  if (record === null) throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${name}`);
  const { keyring } = record.archive;
  const newest = await readNewestRelease(read, record.id);
  return {
    distribution: name,
    archive: record.archive.name,
    pinned: keyring && (await describeKeyring(keyring, now)),
    generation: record.latestGeneration,
    signatures: newest?.signatures ?? null,
    expiring: judgeNewest(newest, now).expiring,
  };
}

function describe({ distribution, archive, pinned, ...newest }: Keys, now: number): string {
  const head = `${distribution}: keys of ${archive}`;
  if (pinned === null) return printable(`${head}: none, which \`unsigned\` allows`);
  return [
    printable(head),
    ...pinned.flatMap(({ userIds, subkeys, ...key }) => [
      printable(`  ${describeLife(key, now)}  ${userIds.join(', ')}`),
      ...subkeys.map((subkey) => `    subkey ${describeLife(subkey, now)}`),
    ]),
    ...describeSignatures(newest, now),
    ...(newest.expiring === null
      ? []
      : [`  ${describeError(newest.expiring).replaceAll('\n', '\n  ')}`]),
  ].join('\n');
}

function describeLife(
  { fingerprint, state, until }: Omit<PinnedKey, 'userIds' | 'subkeys'>,
  now: number,
): string {
  const isBad = state === 'revoked' || state === 'unusable';
  return `${fingerprint}  ${isBad ? state : describeEnd(until, now)}`;
}

function describeEnd(until: number | null, now: number): string {
  if (until === null) return 'for ever';
  const day = new Date(until).toISOString().replace(/T.*$/, '');
  return until <= now ? `expired ${day}` : `until ${day}, in ${duration(until - now)}`;
}

function describeSignatures(
  { generation, signatures }: Pick<Keys, 'generation' | 'signatures'>,
  now: number,
): string[] {
  if (signatures === null) return ['  no look at the archive went well yet'];
  return signatures.map(({ fingerprint, subkey, signatureUntil }) => {
    const by = subkey === null ? fingerprint : `subkey ${subkey.fingerprint} of ${fingerprint}`;
    const end = signatureUntil === null ? '' : `, a signature ${describeEnd(signatureUntil, now)}`;
    return `  generation ${generation} is signed by ${by}${end}`;
  });
}
