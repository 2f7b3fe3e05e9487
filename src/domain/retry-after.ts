import { LIMITS } from './limits.ts';

/**
 * How long an answer with 429 or 503 asks to be left alone: Retry-After is a number of seconds or a
 * date (RFC 9110 §10.2.3).
 * @param now milliseconds since 1970
 * @param max milliseconds: what is asked for beyond is not heeded
 * @returns milliseconds from `now`; null where the header is missing or says nothing
 */
export function parseRetryAfter(
  header: string | null | undefined,
  now: number,
  max: number = LIMITS.retryAfterMs,
): number | null {
  if (header === null || header === undefined) return null;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), max);
}
