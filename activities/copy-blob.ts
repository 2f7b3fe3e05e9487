/**
 * One blob to one site: written conditionally, and read back, which also resolves an unknown
 * outcome.
 */
import type { WantedBlob } from '../src/database/registry/claims.ts';
import type { Checksum } from '../src/domain/checksum.ts';
import { DebgeoError } from '../src/domain/errors.ts';
import { LIMITS } from '../src/domain/limits.ts';
import { isByHash, type RepoPath } from '../src/domain/repo-path.ts';
import type { Expected, SiteStore, Written } from '../src/site/site-store.ts';
import { headersOf } from './blob-headers.ts';
import type { BlobOrigin, BlobSource } from './blob-source.ts';
import { readBack } from './read-back.ts';

/** Where a blob is to stand. */
export interface Place {
  readonly store: SiteStore;
  /** Where a path of the archive stands at the site. */
  placeOf(path: RepoPath): RepoPath;
  /**
   * Asked before bytes at an immutable path of the pool are replaced: they may be those of a
   * release that this database lost. Throws where they may.
   */
  beforeReplacing?(): Promise<void>;
}

/**
 * Called with wrong bytes that stand at an immutable path and are not on record: left by an earlier
 * installation, perhaps.
 */
export type OnCorrupt = (blob: WantedBlob, found: Checksum) => Promise<void>;

/**
 * Makes the blob stand at the site and answers with what was read back after the last write;
 * whether that is right is judged by the registry.
 * @throws BLOB_MISSING, BLOB_MISMATCH every origin was asked: none has it, or none has it right
 * @throws BLOB_UNREACHABLE the same, but for another site that has it and could not be asked
 * @throws ARCHIVE_*, ADDRESS_REFUSED, HOSTILE_PATH, REFERENCE_REFUSED, CONFIG_INVALID the archive
 *   could not be asked, or is a folder whose links lead out of it, or the worker does not read what
 *   its configuration names, and no other origin has it
 * @throws SITE_* the site itself; FOREIGN_WRITE if another program keeps writing there
 */
export async function copyBlob(
  at: Place,
  source: BlobSource,
  blob: WantedBlob,
  signal: AbortSignal,
  onCorrupt: OnCorrupt,
): Promise<Checksum> {
  const place = at.placeOf(blob.path);
  let badEtag = blob.badEtag;
  for (let conflicts = 0; conflicts < LIMITS.conflictsMax;) {
    const expected = badEtag === null ? 'nothing' : { etag: badEtag };
    if (badEtag !== null && !isByHash(blob.path)) await at.beforeReplacing?.();
    const outcome = await writeFromAny(at, source, { ...blob, badEtag }, expected, signal);
    const found = await readBack(at.store, place, signal);

    // The version that was to be replaced is never taken, whatever its bytes: it was read wrong
    // before, or prune is deleting it at this moment.
    const isRight =
      found !== null &&
      found.etag !== blob.badEtag &&
      found.size === blob.size &&
      found.sha256 === blob.sha256;
    if (found !== null && (isRight || outcome !== 'conflict')) return found;
    if (found !== null && found.etag !== badEtag) await onCorrupt(blob, found);
    badEtag = found?.etag ?? null;
    conflicts += 1;
  }
  throw new DebgeoError('FOREIGN_WRITE', `another program keeps writing to ${place}`, {
    expected: blob.sha256,
  });
}

/** Writes the blob from the first origin that has it right. */
async function writeFromAny(
  at: Place,
  source: BlobSource,
  blob: WantedBlob,
  expected: Expected,
  signal: AbortSignal,
): Promise<Written | 'conflict'> {
  const tried: { readonly name: string; readonly error: DebgeoError | null }[] = [];
  for await (const origin of source.originsOf(blob)) {
    const result = await writeFromOne(origin, at, blob, expected, signal);
    if ('outcome' in result) return result.outcome;
    tried.push({ name: origin.name, error: result.error });
  }

  const unasked = tried.filter(({ error }) => error !== null && !isMismatch(error));
  const first = unasked.find(({ name }) => !isSite(name));
  if (first?.error) throw first.error;
  const isWrong = tried.some(({ error }) => error !== null && isMismatch(error));
  const code = isWrong ? 'BLOB_MISMATCH' : 'BLOB_MISSING';
  throw new DebgeoError(
    unasked.length > 0 ? 'BLOB_UNREACHABLE' : code,
    `no origin has ${blob.path} as its index says`,
    {
      expected: `${blob.size} bytes, SHA-256 ${blob.sha256}`,
      found: tried
        .map(
          ({ name, error }) =>
            `${name}: ${error === null ? 'missing' : (error.report.found ?? error.code)}`,
        )
        .join('; '),
    },
  );
}

/**
 * Every other error says that the origin was not asked, and may have the file: what is nowhere ends
 * a publication.
 *
 * LIMIT_EXCEEDED: the origin sends more bytes than the index says.
 */
const isMismatch = (error: DebgeoError): boolean =>
  error.code === 'BLOB_MISMATCH' || error.code === 'LIMIT_EXCEEDED';

/** Another site: what is wrong with it holds up no lane of this one by its own code. */
const isSite = (name: string): boolean => name.startsWith('site ');

/** The origin lacks the blob. */
class NotThere extends Error {}

/**
 * Writes the blob from one origin. The origin is opened when the site's store has room for the
 * bytes, and not before: an archive closes a connection on which the reader lets it wait.
 * @returns error: what the origin answered, where it has the blob wrong or cannot be asked; null:
 *   it lacks the blob
 * @throws SITE_* what the site itself answered
 */
async function writeFromOne(
  origin: BlobOrigin,
  at: Place,
  blob: WantedBlob,
  expected: Expected,
  signal: AbortSignal,
): Promise<{ readonly outcome: Written | 'conflict' } | { readonly error: DebgeoError | null }> {
  let ofOrigin: unknown = null;
  let md5: Uint8Array | null = null;
  async function* bytesOfOrigin(): AsyncGenerator<Uint8Array> {
    try {
      const opened = await origin.open(signal);
      if (opened === null) throw new NotThere();
      md5 = opened.md5;
      yield* opened.bytes;
    } catch (error) {
      ofOrigin = error;
      throw error;
    }
  }
  const kind = isByHash(blob.path) ? 'by-hash' : 'pool';
  const content = {
    size: blob.size,
    sha256: blob.sha256,
    bytes: bytesOfOrigin(),
    md5: () => md5,
    ...headersOf(blob.path, kind),
  };
  try {
    return { outcome: await at.store.put(at.placeOf(blob.path), content, expected, signal) };
  } catch (error) {
    if (signal.aborted) throw error;
    if (ofOrigin instanceof NotThere) return { error: null };
    if (ofOrigin instanceof DebgeoError) return { error: ofOrigin };
    if (ofOrigin === null && error instanceof DebgeoError && error.code === 'BLOB_MISMATCH') {
      origin.reject?.();
      return { error };
    }
    throw ofOrigin ?? error;
  }
}
