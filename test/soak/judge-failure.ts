/**
 * Why a client failed: by what the soak itself did to the site, or by a fault of debgeo. Each file
 * that apt names must be explained; one that is not is a finding.
 */
import type { Kind } from './decisions.ts';

export type Cause =
  /** What apt wanted was rotten, and not repaired yet. */
  | 'rot'
  /** The Azurite of the site was stopped, or has just come back. */
  | 'site stopped'
  /** A file that a served release names is not there. */
  | 'deleted while served'
  /** Anything else: half a release, other bytes, a signature that does not fit. */
  | 'torn';

export interface SoakDid {
  /** Rotten at this site at some time while the client read. */
  readonly rotten: readonly { readonly path: string; readonly kind: Kind }[];
  /** The server of the site was away at some time while the client read. */
  readonly stopped: boolean;
  readonly suite: string;
}

interface Failed {
  /** Below the mount; the folder of the suite where apt names no file. */
  readonly path: string;
  readonly reason: string;
}

const CONNECTION =
  /connect|timed out|hang up|reset|closed|EPIPE|data socket|read error|select|terminated/i;
const NOT_FOUND = /\b404\b/;

/** @param output what apt printed @param mountUrl root of the archive at the site */
export function causeOf(output: string, mountUrl: string, did: SoakDid): Cause {
  const failed = failedFiles(output, mountUrl, did.suite);
  const unexplained = failed.filter((one) => explanationOf(one, did) === null);
  if (failed.length === 0) return 'torn';
  if (unexplained.length === 0)
    return failed.some((one) => explanationOf(one, did) === 'rot') ? 'rot' : 'site stopped';
  return unexplained.every(({ reason }) => NOT_FOUND.test(reason))
    ? 'deleted while served'
    : 'torn';
}

function explanationOf({ path, reason }: Failed, did: SoakDid): Cause | null {
  if (did.stopped && CONNECTION.test(reason)) return 'site stopped';
  return did.rotten.some((file) => isReadWith(file, path)) ? 'rot' : null;
}

/**
 * An index is read by its hash or by its name, in one of several compressions; of the Release set
 * apt takes InRelease, or Release with Release.gpg.
 */
function isReadWith(rotten: SoakDid['rotten'][number], path: string): boolean {
  if (rotten.path === path) return true;
  if (path.startsWith('pool/')) return false;
  return folderOf(rotten.path) === folderOf(path);
}

const folderOf = (path: string): string =>
  path.replace(/\/by-hash\/.*$/, '/').replace(/[^/]+$/, '');

/** `E: Failed to fetch URL  REASON`, `W: GPG error: URL SUITE InRelease: REASON`, and the like. */
function failedFiles(output: string, mountUrl: string, suite: string): Failed[] {
  const failed = new Map<string, Failed>();
  const note = (path: string, reason: string): void => {
    failed.set(`${path} ${reason}`, { path, reason });
  };
  for (const line of output.split('\n')) {
    if (!/^[EW]:/.test(line)) continue;
    const [, url, reason = ''] = /Failed to fetch (\S+)\s*(.*)$/.exec(line) ?? [];
    if (url !== undefined) {
      note(decodeURIComponent(url.replace(`${mountUrl}/`, '')), reason);
      continue;
    }
    if (/\b(?:InRelease|Release)\b|is not signed|no longer signed|no longer has/.test(line))
      note(`dists/${suite}/InRelease`, line);
  }
  return [...failed.values()];
}
