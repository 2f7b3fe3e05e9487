/**
 * The pace of a scrub: all of a site is read back within its interval, evenly, and no faster than
 * that needs. Times in milliseconds.
 */
import { LIMITS } from './limits.ts';

export interface Reading {
  readonly files: number;
  readonly bytes: number;
}

const percentOf = (percent: number, of: number): number => (percent / 100) * of;

/** The work of reading so much: a request costs something beside its bytes. */
const workOf = ({ files, bytes }: Reading): number => bytes + files * LIMITS.scrubRequestBytes;

/** How long a pass may take. */
export const passMs = (intervalMs: number): number =>
  percentOf(LIMITS.scrubPassPercent, intervalMs);

/** Bytes a second that a pass over so many needs. */
export const rateNeeded = (bytes: number, intervalMs: number): number =>
  bytes / (passMs(intervalMs) / 1_000);

/**
 * From the beginning of one slice to that of the next: rate = what is left / time left.
 * @param read by the slice
 * @param left behind it
 * @param timeLeftMs when the slice began; negative where the pass is late: the next slice comes at
 *   once
 */
export function waitMs(read: Reading, left: Reading, timeLeftMs: number): number {
  const work = workOf(read);
  if (work === 0) return 0;
  return Math.max(0, timeLeftMs) * (work / (work + Math.max(0, workOf(left))));
}

/** How long reading so much has to take for a scrub that keeps to its share of the site's rate. */
export const leastMs = (bytes: number, bytesPerSecond: number | null): number =>
  bytesPerSecond === null
    ? 0
    : (bytes / percentOf(LIMITS.scrubRatePercent, bytesPerSecond)) * 1_000;

/**
 * Whether the blob that a pass reads as its `nth`, from 0, is read through the public URL, too: the
 * first, and one in a hundred, others in each pass; at most LIMITS.scrubPublicFiles.
 */
export function isSampled(nth: number, filesTotal: number, startedAt: number): boolean {
  const every = Math.max(
    100 / LIMITS.scrubPublicPercent,
    Math.ceil(filesTotal / (LIMITS.scrubPublicFiles - 1)),
  );
  return nth === 0 || nth % every === Math.floor(startedAt) % every;
}
