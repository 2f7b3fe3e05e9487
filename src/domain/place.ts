/**
 * Where a site is, in one form for all spellings of it: two names for one place would delete each
 * other's files.
 */
import { foldPath } from './repo-path.ts';

/** As configured. */
export interface SitePlace {
  /** `https://apt.blob.core.windows.net`; of Azurite with the account as its path. */
  readonly account_url: string;
  readonly container: string;
  /** Empty: the root of the container. */
  readonly prefix: string;
}

/** The ports of http and https: either scheme leads to the same account. */
const DEFAULT_PORTS: ReadonlySet<string> = new Set(['', '80', '443']);

/**
 * Host, account, container and prefix, joined by `/`. Left out is what leads to one place however
 * it is written: scheme, case of the host, default ports, a dot behind the host, encoded letters of
 * the account, slashes at the end. Names of containers and blobs are told apart by case (Azure,
 * "Naming and Referencing Containers, Blobs, and Metadata").
 */
export function placeOf({ account_url, container, prefix }: SitePlace): string {
  const { hostname, port, pathname } = new URL(account_url);
  const host = hostname.replace(/\.$/, '') + (DEFAULT_PORTS.has(port) ? '' : `:${port}`);
  const account = pathname.split('/').map(decoded);
  return [host, ...account, container, ...prefix.split('/')].filter((one) => one !== '').join('/');
}

/** One folder is the other, or lies in it. */
export const isNested = (one: string, other: string): boolean =>
  `${one}/`.startsWith(`${other}/`) || `${other}/`.startsWith(`${one}/`);

/** `a/b/c` lies in `a`, `a/b` and itself. */
export const foldersOf = (path: string): string[] =>
  path.split('/').map((_, index, segments) => segments.slice(0, index + 1).join('/'));

/** A folder in which the objects of some site are that debgeo keeps for itself. */
export const isReserved = (folder: string): boolean =>
  foldPath(folder).split('/').includes('.debgeo');

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
