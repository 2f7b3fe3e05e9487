import { DebgeoError, type ErrorReport } from './errors.ts';

type Dated = { readonly date: Date | null };

/**
 * How far a Date, or the time of a signature, may lie ahead of our clock (apt:
 * Acquire::Max-FutureTime). Milliseconds.
 */
export const FUTURE_MS = 10_000;

/**
 * Whether a Release may be accepted, or go on being accepted, now. Judged at capture, at publish
 * and at every poll.
 *
 * As apt judges (pkgAcqMetaBase::VerifyVendor and debReleaseIndex::Load), with two differences: an
 * older Date is an error (apt silently keeps what it has), and Date may be missing only where that
 * is configured, because a rollback cannot be seen without it. Equal Dates are
 * accepted: a body that was signed again, or replaced within the same second.
 *
 * @param newestAccepted of the newest captured generation; null before the first
 * @throws RELEASE_UNDATED no Date, and not configured to be accepted
 * @throws RELEASE_FUTURE Date is more than 10 s ahead of `now`
 * @throws RELEASE_ROLLBACK Date is before the newest accepted one, and no operator accepted this
 *   older release (`acceptOlder`)
 * @throws RELEASE_EXPIRED `now` is past Valid-Until
 */
export function judgeFreshness(
  release: { readonly date: Date | null; readonly validUntil: Date | null },
  newestAccepted: Dated | null,
  now: Date,
  policy: { readonly acceptUndated: boolean; readonly acceptOlder?: boolean },
): void {
  const { date, validUntil } = release;

  if (date === null && !policy.acceptUndated) {
    throw new DebgeoError('RELEASE_UNDATED', 'the Release has no Date', {
      expected: 'a Date',
      found: 'none',
    });
  }
  if (date !== null && date.getTime() > now.getTime() + FUTURE_MS) {
    const expected = `at most 10 s after ${now.toISOString()}`;
    throw new DebgeoError('RELEASE_FUTURE', 'the Release is dated in the future', {
      expected,
      found: date.toISOString(),
    });
  }
  if (isOlder(release, newestAccepted) && policy.acceptOlder !== true) {
    const expected = `${newestAccepted?.date?.toISOString()} or later`;
    throw new DebgeoError(
      'RELEASE_ROLLBACK',
      'the Release is older than one that was accepted before',
      {
        expected,
        found: date?.toISOString() ?? 'none',
      },
    );
  }
  if (validUntil !== null && now.getTime() > validUntil.getTime()) {
    const expected = `Valid-Until after ${now.toISOString()}`;
    throw new DebgeoError('RELEASE_EXPIRED', 'the Release has expired', {
      expected,
      found: validUntil.toISOString(),
    });
  }
}

/** Whether both are dated, and the release before what was accepted. */
export const isOlder = (release: Dated, newestAccepted: Dated | null): boolean =>
  release.date !== null &&
  newestAccepted?.date != null &&
  release.date.getTime() < newestAccepted.date.getTime();

/**
 * The alarm of a freeze: an attacker between us and the archive can go on showing a release that
 * was rightly signed once (Cappos et al., "A Look in the Mirror"); Valid-Until, which would end
 * that, is optional. So the newest accepted release may not become older than the distribution
 * says. Nothing is refused: an archive that rests looks the same, and what the sites serve is as
 * good as before.
 *
 * @param releasedAt Date of that release; where it has none, since when its text is known
 * @param staleAfterMs null: no age is too old
 * @returns null unless it is too old; code RELEASE_STALE
 */
export function judgeAge(
  releasedAt: Date,
  staleAfterMs: number | null,
  now: Date,
): ErrorReport | null {
  if (staleAfterMs === null || now.getTime() - releasedAt.getTime() <= staleAfterMs) return null;
  return {
    code: 'RELEASE_STALE',
    message: 'the archive has released nothing newer for longer than `stale_after`',
    expected: `a release after ${new Date(now.getTime() - staleAfterMs).toISOString()}`,
    found: releasedAt.toISOString(),
    state: 'the sites go on serving it',
  };
}
