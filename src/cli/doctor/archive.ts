import { verifyReleaseSet } from '../../archive/verify-signature.ts';
import { readDistribution } from '../../database/catalog/distributions.ts';
import { type ReleaseAge, readReleaseAge } from '../../database/replications/stale-releases.ts';
import type { JoinedDeps } from '../../deps.ts';
import { DebgeoError } from '../../domain/errors.ts';
import { judgeAge } from '../../domain/freshness.ts';
import { suiteFolder } from '../../domain/release.ts';
import { ago, duration } from '../amount.ts';
import type { Findings } from './findings.ts';
import { within } from './within.ts';

export const examineArchive = async (
  findings: Findings,
  deps: JoinedDeps,
  distribution: string,
): Promise<void> => {
  await findings.check(
    `archive of ${distribution}`,
    () => authenticate(deps, distribution),
    (signers) => `answers, signed by ${signers.join(', ') || 'nobody, which is allowed'}`,
  );
  await findings.check(`newest release of ${distribution}`, () => ageOf(deps, distribution), aged);
};

/** Of what was captured: an archive that somebody holds back answers as before. */
const ageOf = async (deps: JoinedDeps, name: string): Promise<ReleaseAge | null> => {
  const distribution = await readDistribution(deps.database.read, name);
  const age = distribution && (await readReleaseAge(deps.database.read, distribution.id));
  const stale = age && judgeAge(age.releasedAt, age.staleAfterMs, new Date());
  if (stale !== null) throw new DebgeoError(stale.code, stale.message, stale);
  return age;
};

const aged = (age: ReleaseAge | null): string =>
  age === null
    ? 'nothing was captured yet'
    : `generation ${age.generation}, from ${ago(age.releasedAt.getTime(), Date.now())}; ${age.staleAfterMs === null ? 'no `stale_after` is set, so no age is too old' : `too old after ${duration(age.staleAfterMs)}`}`;

const authenticate = async (deps: JoinedDeps, name: string): Promise<readonly string[]> => {
  const distribution = await readDistribution(deps.database.read, name);
  if (distribution === null)
    throw new DebgeoError('NAME_UNKNOWN', `there is no distribution ${name}`);
  const { archive, suite } = distribution;
  const found = await within(
    () => new DebgeoError('ARCHIVE_UNREACHABLE', `archive ${archive.name} did not answer in time`),
    (signal) => deps.archiveOf(archive).fetchReleaseSet(suiteFolder(suite), null, signal),
  );
  if (found === 'unchanged')
    throw new DebgeoError('UNKNOWN', 'an unconditional request was answered with 304');
  return (await verifyReleaseSet(found.releaseSet, distribution.archive.keyring, new Date()))
    .signers;
};
