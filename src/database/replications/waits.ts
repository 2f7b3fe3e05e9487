/** How long a failed look or lane waits. */
import type { ErrorReport } from '../../domain/errors.ts';
import { LIMITS } from '../../domain/limits.ts';
import { backoffMs } from '../../domain/replication.ts';
import type { StoredTuning } from '../entities/debian-distribution.ts';

/** Milliseconds, longer with every failure in a row, and with a random part. */
export const backoffOf = (failures: number, tuning: StoredTuning = {}): number =>
  backoffMs(
    failures,
    Math.random(),
    tuning.backoffInitialMs ?? LIMITS.backoffInitialMs,
    tuning.backoffCapMs ?? LIMITS.backoffCapMs,
  );

/** Milliseconds until a lane that waits for a person tries again, less a random part. */
export const parkedFor = (tuning: StoredTuning = {}): number =>
  tuning.parkedMs ?? LIMITS.parkedMs - Math.random() * LIMITS.parkedSpreadMs;

/** Milliseconds that the archive or site asked for, as far as that is believed. */
export const retryAfterOf = (report: ErrorReport): number =>
  Math.min(report.retryAfterMs ?? 0, LIMITS.retryAfterMs);
