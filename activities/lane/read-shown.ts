import { DebgeoError } from '../../src/domain/errors.ts';
import type { RepoPath } from '../../src/domain/repo-path.ts';
import { readPublic } from '../../src/site/read-public.ts';
import type { SiteStep } from './step.ts';

/** Of a file that readers do not find. */
export const NOT_FOUND = '404';

/**
 * What readers are shown under the path of a file, to be compared and printed: the digest of what
 * they get, NOT_FOUND, or that it is longer than the file, which is not read to its end.
 * @param file.size bytes of what is right
 * @throws what readPublic throws of sites that do not answer as they should
 */
export async function readShown(
  step: SiteStep,
  file: { readonly path: RepoPath; readonly size: number },
  signal: AbortSignal,
): Promise<string> {
  try {
    const seen = await readPublic(step.publicUrl, step.placeOf(file.path), file.size, signal);
    return seen?.sha256 ?? NOT_FOUND;
  } catch (error) {
    if (error instanceof DebgeoError && error.code === 'SITE_SERVES_OTHER')
      return `more than ${file.size} bytes`;
    throw error;
  }
}
