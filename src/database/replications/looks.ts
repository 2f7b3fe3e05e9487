/** The end of a look at the archive, as the row of its distribution keeps it. */
import { raw } from '@mikro-orm/postgresql';

import { printableReport, type ErrorReport } from '../../domain/errors.ts';
import type { GoodSignature } from '../../domain/key-expiry.ts';
import type { Roster } from '../../domain/replication.ts';
import type { Validator } from '../../domain/snapshot.ts';
import { DebianDistribution } from '../entities/debian-distribution.ts';
import { recordIncident, resolveIncidents } from '../incidents.ts';
import type { Database } from '../orm.ts';
import { bookkeeping } from '../patience.ts';
import { later, now } from '../sql.ts';
import { lockDistribution } from './lock.ts';
import { recordAlarms } from './newest-release.ts';
import { endOlderAcceptances } from './older-acceptances.ts';
import { rollUp } from './roll-up.ts';
import { readRoster } from './roster.ts';
import { backoffOf, retryAfterOf } from './waits.ts';

/** Polls of many distributions spread by this part of the interval, either way. */
const POLL_JITTER = 0.1;

/** A look at the archive went well, whether anything was new or not. */
export function recordLook(
  db: Database,
  distribution: string,
  facts: {
    readonly validator: Validator;
    readonly unconditional: boolean;
    /** Of the newest release. */
    readonly signatures: readonly GoodSignature[];
  },
): Promise<Roster> {
  return db.transaction(async (tx) => {
    const locked = await lockDistribution(tx, distribution);
    if (locked !== null) {
      const wait = locked.pollIntervalMs * (1 - POLL_JITTER + 2 * POLL_JITTER * Math.random());
      await tx.em.nativeUpdate(
        DebianDistribution,
        { id: locked.id },
        {
          inReleaseEtag: facts.validator.etag,
          inReleaseLastModified: facts.validator.lastModified,
          looks: facts.unconditional ? 0 : raw<number>('looks + 1'),
          signatures: [...facts.signatures],
          failureCode: null,
          failure: null,
          failureCount: 0,
          lookedAt: now(),
          seenRev: raw<number>('changed_rev'), // the row is locked, and the roster read below
          nextLookAt: later(wait),
        },
      );
      await endOlderAcceptances(tx, locked.id);
      await resolveIncidents(
        tx,
        { distributionId: locked.id, siteId: null },
        'a later look at the archive was fine',
      );
      await recordAlarms(tx, locked.id);
      await rollUp(tx, locked.id);
    }
    return readRoster(tx, distribution);
  });
}

/**
 * A look failed or the release was refused: on record, sites keep serving, and the next look comes
 * sooner than the next poll.
 */
export function recordCaptureFailure(
  db: Database,
  distribution: string,
  report: ErrorReport,
): Promise<Roster> {
  return bookkeeping(db, async (tx) => {
    const locked = await lockDistribution(tx, distribution);
    if (locked !== null) {
      const failureCount = locked.failureCount + 1;
      const backoff = Math.min(backoffOf(failureCount, locked.tuning), locked.pollIntervalMs);
      await tx.em.nativeUpdate(
        DebianDistribution,
        { id: locked.id },
        {
          failureCode: report.code,
          failure: printableReport(report),
          failureCount,
          lookedAt: now(),
          seenRev: raw<number>('changed_rev'), // the row is locked, and the roster read below
          nextLookAt: later(Math.max(backoff, retryAfterOf(report))),
        },
      );
      await endOlderAcceptances(tx, locked.id);
      await recordIncident(tx, { distributionId: locked.id, report });
      await recordAlarms(tx, locked.id);
      await rollUp(tx, locked.id);
    }
    return readRoster(tx, distribution);
  });
}
