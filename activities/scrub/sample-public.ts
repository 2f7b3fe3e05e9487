import type { BlobToScrub } from '../../src/database/scrub/pages.ts';
import { recordForReaders } from '../../src/database/scrub/readers.ts';
import { DebgeoError, type ErrorReport } from '../../src/domain/errors.ts';
import { sitePath } from '../../src/domain/repo-path.ts';
import { readPublic } from '../../src/site/read-public.ts';
import type { Deps } from '../deps.ts';

/**
 * Reads a blob that is right at the site as readers do, and puts on record what they get instead: a
 * front end may serve old or cut bytes, which reading at the storage does not show. It stops no
 * pass.
 */
export async function samplePublic(
  deps: Deps,
  at: { readonly siteId: number; readonly publicUrl: string },
  blob: BlobToScrub,
  signal: AbortSignal,
): Promise<void> {
  const report = await tryPublic(at.publicUrl, blob, signal);
  if (report !== null) await recordForReaders(deps.database, at.siteId, blob, report);
}

/** Null: readers get what they should. */
async function tryPublic(
  publicUrl: string,
  { mount, path, size, sha256 }: BlobToScrub,
  signal: AbortSignal,
): Promise<ErrorReport | null> {
  try {
    const seen = await readPublic(publicUrl, sitePath(mount, path), size, signal);
    if (seen?.sha256 === sha256) return null;
    return {
      code: 'SITE_SERVES_OTHER',
      message: `${publicUrl} does not show ${path} as it is at the site`,
      expected: sha256,
      found: seen?.sha256 ?? '404',
    };
  } catch (error) {
    if (signal.aborted || !(error instanceof DebgeoError)) throw error;
    return error.report;
  }
}
