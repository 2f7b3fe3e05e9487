import type { DistributionRecord } from '../src/database/catalog/distributions.ts';
import { openIndexContent } from '../src/database/catalog/index-contents.ts';
import { canonicalPathsOf } from '../src/database/catalog/snapshots.ts';
import type { WantedBlob } from '../src/database/registry/claims.ts';
import { verifiedSitesOf } from '../src/database/registry/verified-sites.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import { isByHash, sitePath, type RepoPath } from '../src/domain/repo-path.ts';
import type { Fetch } from '../src/spool/spool.ts';
import type { BlobOrigin, BlobSource } from './blob-source.ts';
import type { Deps } from './deps.ts';

/**
 * The origins of one step: it makes a source of its own for each slice.
 *
 * An index: as captured, at the archive by hash and by name, at sites where it is verified. A pool
 * file: at the archive, then at such sites; for a repair the primary site comes before the archive,
 * which may no longer have it. A place that could not be asked is not asked again by this source,
 * so that a dead archive costs a slice one timeout. An error that a place answers for one file is
 * no reason to ask it for no other: some archives answer 403 for a file that they lack.
 *
 * A distribution of several sites reads through the spool, so that what one lane fetched is there
 * for the others.
 */
export function createOrigins(
  deps: Deps,
  step: { readonly distribution: DistributionRecord },
): BlobSource {
  const { archive, primarySite, id } = step.distribution;
  const { read } = deps.database;
  const unreachable = new Map<string, unknown>();

  const { spool } = deps;
  /** Without a spool, and in a distribution of one site: straight from the origin. */
  const shared = (blob: WantedBlob, { name, open }: DirectOrigin): BlobOrigin => {
    if (spool === undefined || step.distribution.siteCount < 2) {
      return {
        name,
        open: async (signal) => {
          const bytes = await open(signal);
          return bytes && { bytes, md5: null };
        },
      };
    }
    return {
      name,
      open: (signal) => spool.open(blob, open, signal),
      reject: () => spool.forget(blob.sha256),
    };
  };
  const reachedOnce = (name: string, open: Fetch): DirectOrigin => ({
    name,
    open: async (signal) => {
      if (unreachable.has(name)) throw unreachable.get(name);
      try {
        return await open(signal);
      } catch (error) {
        if (!signal.aborted && !isOfOneFile(error)) unreachable.set(name, error);
        throw error;
      }
    },
  });
  const atArchive = (path: RepoPath, sizeMax: number): DirectOrigin =>
    reachedOnce('archive', async (signal) =>
      (await deps.archiveOf(archive)).open(path, sizeMax, signal),
    );
  const atSite = (site: string, path: RepoPath): DirectOrigin =>
    reachedOnce(`site ${site}`, async (signal) => {
      const { store } = await deps.siteOf(site);
      return (await store.open(sitePath(archive.mount, path), signal))?.bytes ?? null;
    });

  async function* directOriginsOf(blob: WantedBlob): AsyncGenerator<DirectOrigin> {
    let primary: string | undefined;
    if (isByHash(blob.path)) {
      yield { name: 'capture', open: () => openIndexContent(deps.database, blob.sha256) };
      yield atArchive(blob.path, blob.size);
      for (const path of await canonicalPathsOf(read, id, blob.sha256))
        yield atArchive(path, blob.size);
    } else {
      if (blob.badEtag !== null)
        primary = (await verifiedSitesOf(read, blob)).find((site) => site === primarySite);
      if (primary !== undefined) yield atSite(primary, blob.path);
      yield atArchive(blob.path, blob.size);
    }
    for (const site of await verifiedSitesOf(read, blob))
      if (site !== primary) yield atSite(site, blob.path);
  }

  return {
    async *originsOf(blob) {
      for await (const origin of directOriginsOf(blob)) yield shared(blob, origin);
    },
  };
}

interface DirectOrigin {
  readonly name: string;
  readonly open: Fetch;
}

/** The archive refuses this one file: others may be had all the same. */
export const isOfOneFile = (error: unknown): boolean =>
  error instanceof DebgeoError &&
  [
    'LIMIT_EXCEEDED',
    'ARCHIVE_DENIED',
    'ARCHIVE_REDIRECT',
    'ARCHIVE_CHANGING',
    'HOSTILE_PATH',
  ].includes(error.code);
