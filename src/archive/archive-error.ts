/**
 * What an answer of an archive, or the lack of one, means, in the codes that `Archive` promises.
 * `place` is a file of the archive as it may be printed: a URL without credentials and query, or a
 * path on this machine.
 */
import { DebgeoError } from '../domain/errors.ts';
import { parseRetryAfter } from '../domain/retry-after.ts';
import { quoted } from '../domain/text.ts';

/** Proxies and legal notices, too: nothing changes until a person acts. */
const DENIED = [401, 402, 403, 407, 451];
const THROTTLED = [429, 503];

/** What stands behind a denial, where that is known. */
const ASKS_FOR: Readonly<Record<number, string>> = {
  401: 'a login that it knows (`login` of the archive)',
  403: 'a login that may read this',
  407: 'a user and a password for the proxy (HTTP_PROXY, HTTPS_PROXY of the worker)',
};

/**
 * What an error status of HTTP means (RFC 9110 §15; RFC 6585 §4).
 * @param asked.login with which login, as a message says it
 */
export function refusalError(
  { place, login }: { readonly place: string; readonly login: string },
  status: number,
  retryAfter: string | undefined,
  retryAfterMax: number,
): DebgeoError {
  const facts = { expected: 'HTTP 200', found: `HTTP ${status}` };
  if (DENIED.includes(status))
    return new DebgeoError('ARCHIVE_DENIED', `${place} denies access`, {
      expected: ['HTTP 200', ...(ASKS_FOR[status] === undefined ? [] : [ASKS_FOR[status]])],
      found: `HTTP ${status}, ${login}`,
    });
  if (!THROTTLED.includes(status))
    return new DebgeoError('ARCHIVE_UNREACHABLE', `${place} answers with an error`, facts);
  const retryAfterMs = parseRetryAfter(retryAfter, Date.now(), retryAfterMax);
  return new DebgeoError('ARCHIVE_THROTTLED', `${place} asks us to wait`, {
    ...facts,
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
  });
}

export const tooLarge = (place: string, sizeMax: number, found: string): DebgeoError =>
  new DebgeoError('LIMIT_EXCEEDED', `a file of ${place} is larger than it may be`, {
    expected: `at most ${sizeMax} bytes`,
    found,
  });

/** A dead line sends nothing; this archive sends, and would never end (TUF, "slow retrieval"). */
export const tooSlow = (place: string, min: number, rate: number): DebgeoError =>
  new DebgeoError('ARCHIVE_SLOW', `${place} sends too slowly`, {
    expected: `at least ${min} bytes a second`,
    found: `${Math.round(rate)} bytes a second`,
  });

export function unreachable(place: string, found: string, cause?: unknown): DebgeoError {
  const expected = expectedOfTls(cause);
  return new DebgeoError(
    'ARCHIVE_UNREACHABLE',
    `${place} does not answer as it should`,
    { ...(expected !== null && { expected }), found: quoted(found) },
    cause,
  );
}

/** The request had no answer. What Node says of a proxy has its URL without user and password. */
export function failed(place: string, error: unknown): DebgeoError {
  const isTunnel = error instanceof Error && 'code' in error && error.code === 'ERR_PROXY_TUNNEL';
  if (isTunnel && 'statusCode' in error && error.statusCode === 407)
    return refusalError({ place, login: 'by the proxy' }, 407, undefined, 0);
  return unreachable(place, error instanceof Error ? error.message : String(error), error);
}

/** By the codes that Node and OpenSSL give (`tls`, "X509 certificate error codes"). */
function expectedOfTls(error: unknown): string | null {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/^(?:UNABLE_TO_|SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED|CERT_UNTRUSTED)/.test(code))
    return 'a certificate that Node trusts, or that `ca: FILE` of the archive has signed';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'a certificate for the host of `url`: write the host that it names';
  if (/^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)$/.test(code))
    return 'a certificate that is valid now: ask the archive to renew it, or set the clock here';
  if (/^ERR_SSL_.*(?:CERTIFICATE_REQUIRED|BAD_CERTIFICATE|HANDSHAKE_FAILURE)$/.test(code))
    return 'a certificate of the client, perhaps: `login: {client_certificate, key}`';
  return null;
}

/** The AbortError that `Archive` promises. */
export const aborted = (signal: AbortSignal): DOMException =>
  new DOMException('the archive is no longer asked', { name: 'AbortError', cause: signal.reason });

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw aborted(signal);
}
