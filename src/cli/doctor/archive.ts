import { verifyReleaseSet } from '../../archive/verify-signature.ts';
import { readDistribution } from '../../database/catalog/distributions.ts';
import {
  judgeNewest,
  type NewestRelease,
  readNewestRelease,
} from '../../database/replications/newest-release.ts';
import { listPrivateArchives } from '../../database/views/work.ts';
import type { JoinedDeps } from '../../deps.ts';
import { nameOfLogin } from '../../domain/archive-login.ts';
import { DebgeoError } from '../../domain/errors.ts';
import { endOfTrust, type GoodSignature } from '../../domain/key-expiry.ts';
import { suiteFolder } from '../../domain/release.ts';
import { ago, duration } from '../amount.ts';
import type { Findings } from './findings.ts';
import { within } from './within.ts';

export async function examineArchive(
  findings: Findings,
  deps: JoinedDeps,
  distribution: string,
): Promise<void> {
  await findings.check(
    `archive of ${distribution}`,
    () => authenticate(deps, distribution),
    ({ login, signers }) =>
      `answers${login}, signed by ${signers.join(', ') || 'no key, which `unsigned` allows'}`,
  );
  const newest = () => newestOf(deps, distribution);
  await findings.check(
    `newest release of ${distribution}`,
    async () => ageOf(await newest()),
    aged,
  );
  await findings.check(
    `keys of ${distribution}`,
    async () => signaturesOf(await newest()),
    lasting,
  );
}

/** An upgrade permits what was configured before there was a rule; a file may not say so yet. */
export async function tellPrivateArchives(findings: Findings, deps: JoinedDeps): Promise<void> {
  for (const archive of await listPrivateArchives(deps.database))
    findings.note(
      `address of ${archive}`,
      'may be a loopback or private one; where the configuration does not say ' +
        '`private_network: true`, the next `debgeo apply` ends that',
    );
}

async function newestOf(deps: JoinedDeps, name: string): Promise<NewestRelease | null> {
  const distribution = await readDistribution(deps.database.read, name);
  return distribution && readNewestRelease(deps.database.read, distribution.id);
}

/** An archive whose releases are held back answers as before. */
function ageOf(newest: NewestRelease | null): NewestRelease | null {
  const { stale } = judgeNewest(newest, new Date());
  if (stale !== null) throw DebgeoError.of(stale);
  return newest;
}

function signaturesOf(newest: NewestRelease | null): readonly GoodSignature[] | null {
  const { expiring } = judgeNewest(newest, new Date());
  if (expiring !== null) throw DebgeoError.of(expiring);
  return newest?.signatures ?? null;
}

function lasting(signatures: readonly GoodSignature[] | null): string {
  if (signatures === null) return 'no look at the archive went well yet';
  if (signatures.length === 0) return 'none signed, which `unsigned` allows';
  const end = endOfTrust(signatures);
  return end === null
    ? 'what signed the newest release never expires'
    : `${end.what} expires in ${duration(end.at - Date.now())}`;
}

function aged(age: NewestRelease | null): string {
  if (age === null) return 'nothing was captured yet';
  const limit =
    age.staleAfterMs === null
      ? 'no `stale_after` is set, so no age is too old'
      : `too old after ${duration(age.staleAfterMs)}`;
  const released = ago(age.releasedAt.getTime(), Date.now());
  return `generation ${age.generation}, from ${released}; ${limit}`;
}

async function authenticate(
  deps: JoinedDeps,
  name: string,
): Promise<{ readonly login: string; readonly signers: readonly string[] }> {
  const distribution = await readDistribution(deps.database.read, name);
  if (distribution === null)
    throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${name}`);
  const { archive, suite } = distribution;
  const found = await within(
    () => new DebgeoError('ARCHIVE_UNREACHABLE', `archive ${archive.name} did not answer in time`),
    async (signal) =>
      (await deps.archiveOf(archive)).fetchReleaseSet(suiteFolder(suite), null, signal),
  );
  if (found === 'unchanged')
    throw new DebgeoError('UNKNOWN', 'an unconditional request was answered with 304');
  const { signers } = await verifyReleaseSet(found.releaseSet, archive.keyring, new Date());
  const login = archive.login === null ? '' : ` to the login of ${nameOfLogin(archive.login)}`;
  return { login, signers };
}
