/**
 * What an archive asks for before it answers, and where that may go. Secrets are named here, and
 * never written.
 */
import { isLoopback } from './loopback.ts';
import { nameOf, type SecretReference } from './secret-reference.ts';

/**
 * One of four: Basic (RFC 7617), Bearer (RFC 6750), headers that an archive made up
 * (`Deploy-Token` of GitLab), or a certificate of the client and its key, both PEM.
 */
export type ArchiveLogin =
  | { readonly user: string; readonly password: SecretReference }
  | { readonly bearer: SecretReference }
  | { readonly headers: Readonly<Record<string, SecretReference>> }
  | { readonly client_certificate: SecretReference; readonly key: SecretReference };

/** Of the archive, as configured. */
export interface LoginPlace {
  readonly url: string;
  readonly privateNetwork: boolean;
  readonly insecure: boolean;
}

interface LoginFault {
  /** Keys below `login`. */
  readonly path: readonly string[];
  readonly message: string;
}

/** RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/**
 * What says where a message ends, what is between two hops only (RFC 9110, 7.6.1), and what debgeo
 * says itself.
 */
const RESERVED_HEADERS: ReadonlySet<string> = new Set([
  ...['host', 'content-length', 'transfer-encoding', 'trailer', 'te', 'expect'],
  ...['connection', 'keep-alive', 'upgrade', 'http2-settings'],
  ...['proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'proxy-authentication-info'],
  ...['accept-encoding', 'range', 'if-range', 'if-match', 'if-none-match'],
  ...['if-modified-since', 'if-unmodified-since'],
]);

/** Every secret that a login names, and under which keys. */
export function secretsOf(login: ArchiveLogin): readonly [readonly string[], SecretReference][] {
  if ('password' in login) return [[['password'], login.password]];
  if ('bearer' in login) return [[['bearer'], login.bearer]];
  if ('headers' in login)
    return Object.entries(login.headers).map(([name, secret]) => [['headers', name], secret]);
  return [
    [['client_certificate'], login.client_certificate],
    [['key'], login.key],
  ];
}

/** As a message names it: by what it refers to. */
export const nameOfLogin = (login: ArchiveLogin): string =>
  secretsOf(login)
    .map(([, secret]) => nameOf(secret))
    .join(' and ');

/** What is wrong beside its secrets: judged by `apply`, and each time when they are read. */
export function faultsOfLogin(login: ArchiveLogin, place: LoginPlace): LoginFault[] {
  const faults: LoginFault[] = [];
  if ('user' in login && /[:\p{Cc}\p{Cs}]/u.test(login.user))
    faults.push({ path: ['user'], message: 'a user has no colon and no control character' });
  if ('headers' in login) faults.push(...faultsOfHeaders(Object.keys(login.headers)));
  return [...faults, ...faultsOfPlace(login, place)];
}

function faultsOfHeaders(names: readonly string[]): LoginFault[] {
  const faults: LoginFault[] = [];
  const seen = new Set<string>();
  if (names.length === 0) faults.push({ path: ['headers'], message: 'names no header' });
  for (const name of names) {
    const lower = name.toLowerCase();
    const path = ['headers', name];
    if (!TOKEN.test(name)) faults.push({ path, message: 'is not the name of a header' });
    if (RESERVED_HEADERS.has(lower)) faults.push({ path, message: 'is no header of a login' });
    if (seen.has(lower)) faults.push({ path, message: 'is named twice' });
    seen.add(lower);
  }
  return faults;
}

function faultsOfPlace(login: ArchiveLogin, place: LoginPlace): LoginFault[] {
  const url = URL.parse(place.url);
  if (url === null) return [];
  if (url.protocol === 'file:') return [{ path: [], message: 'a folder asks for no login' }];
  if (url.protocol === 'https:') return [];
  if ('client_certificate' in login)
    return [{ path: [], message: 'a certificate is shown over https only: write url: https://…' }];
  if (mayGoTo(url, place)) return [];
  const message =
    'over http everybody on the way reads it: write url: https://…; or, in a network where that' +
    ' is no harm, private_network: true and insecure: true';
  return [{ path: [], message }];
}

/**
 * Asked for each request: a login goes to the archive's own origin (scheme, host and port of its
 * `url`), never elsewhere along a redirect; over http only within this machine, or where the
 * configuration says twice that it may.
 */
export function mayGoTo(to: URL, place: LoginPlace): boolean {
  if (to.origin !== new URL(place.url).origin) return false;
  return to.protocol === 'https:' || isLoopback(to) || (place.privateNetwork && place.insecure);
}
