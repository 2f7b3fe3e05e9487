/**
 * What went wrong with a request to an Azure container, by plain HTTP or through the SDK, in one
 * vocabulary.
 */
import { RestError } from '@azure/storage-blob';

import { DebgeoError } from '../domain/errors.ts';
import { Refused } from './blob-http.ts';
import { brokenOff, refusalError, type Doing, type Refusal } from './site-error.ts';
import type { Watchdog } from './watchdog.ts';

/** Something else is at the path, or this very write got through earlier. */
export class Conflict extends Error {}
/** The container is there, the blob is not. */
export class Absent extends Error {}

export function failureOf(
  error: unknown,
  watchdog: Watchdog,
  signal: AbortSignal,
  doing: Doing,
): unknown {
  // Of what a request failed with, the SDK keeps the message and the code.
  if (error instanceof RestError && error.code === 'ADDRESS_REFUSED')
    return new DebgeoError('ADDRESS_REFUSED', error.message);
  const refusal = refusalOf(error);
  if (refusal === null) return brokenOff(error, watchdog, signal, doing);
  if (isConflict(refusal)) return new Conflict();
  if (refusal.status === 404 && refusal.code === 'BlobNotFound') return new Absent();
  return refusalError(refusal, doing, 'SITE_DENIED');
}

function refusalOf(error: unknown): Refusal | null {
  if (error instanceof Refused) return error.refusal;
  if (!(error instanceof RestError) || error.statusCode === undefined || error.statusCode < 300)
    return null;
  const headers = error.response?.headers;
  return {
    status: error.statusCode,
    code: headers?.get('x-ms-error-code') ?? error.code ?? '',
    retryAfter: headers?.get('retry-after') ?? null,
  };
}

/**
 * 409 BlobAlreadyExists for If-None-Match, 412 for If-Match (Azurite: for both). InvalidBlockList:
 * another writer committed meanwhile, which throws away the staged blocks of all others. A lease
 * (412, too) is not ours to wait for; BlobImmutableDueToPolicy and BlobImmutableDueToLegalHold
 * (409) neither: no condition that is true would help.
 */
function isConflict({ status, code }: Refusal): boolean {
  if (status === 412) return !/^(?:Lease|BlobImmutable)/.test(code);
  return code === 'BlobAlreadyExists' || code === 'InvalidBlockList';
}
