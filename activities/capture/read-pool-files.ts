import { decompress } from '../../src/archive/decompress.ts';
import { openIndexContent, type KeptContents } from '../../src/database/catalog/index-contents.ts';
import { BlobSet } from '../../src/domain/blob-set.ts';
import type { Blob } from '../../src/domain/blob.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import type { Hashes } from '../../src/domain/hashes.ts';
import {
  compressionOf,
  isPackages,
  isSources,
  PackagesReader,
  SourcesReader,
  stemOf,
  type Compression,
} from '../../src/domain/index-file.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { differenceOf, Measure, type Measured } from '../../src/domain/measure.ts';
import { releaseSetPaths } from '../../src/domain/repo-path.ts';
import type { SnapshotIndex } from '../../src/domain/snapshot.ts';
import { expectedAndFound, type AcceptedRelease, type Capture } from './capture.ts';

/** Of the variants of one index, the cheapest to decompress is parsed. */
const PARSED_FIRST: readonly Compression[] = ['gz', 'zst', 'xz', 'none'];

/**
 * The pool files that the selected Packages and Sources name, each read once; all variants of an
 * index must hold the same.
 * @param kept what fetchIndices fetched
 */
export async function readPoolFiles(
  capture: Capture,
  accepted: AcceptedRelease,
  indices: readonly SnapshotIndex[],
  kept: KeptContents,
): Promise<BlobSet> {
  const { folder, counts, deps } = capture;
  const published = [...releaseSetPaths(folder), ...accepted.entries.map(({ path }) => path)];
  const limits = deps.indexLimits ?? LIMITS;
  const poolFiles = new BlobSet(published, limits);
  const budget = { bytes: limits.snapshotIndexBytes, unlisted: limits.decompressedBytesUnlisted };
  const open = (variant: SnapshotIndex) => openIndexContent(deps.database, variant.sha256, kept);
  const stems = new Set(
    accepted.entries
      .map(({ path }) => stemOf(path))
      .filter((stem) => isPackages(stem) || isSources(stem)),
  );
  for (const stem of stems) {
    const variants = indices.filter(({ path }) => stemOf(path) === stem);
    await readVariants(
      { ...capture, open },
      budget,
      stem,
      variants,
      listedContent(accepted, stem),
      (blob) => poolFiles.add(blob),
    );
    counts.read += 1;
    counts.poolFiles = poolFiles.size;
  }
  return poolFiles;
}

interface Reading extends Capture {
  open(variant: SnapshotIndex): ReturnType<typeof openIndexContent>;
}

interface Content {
  readonly size: number;
  readonly hashes: Hashes;
}

/** What Release says of the uncompressed index, which is often listed and rarely there. */
function listedContent(accepted: AcceptedRelease, stem: string): Content | null {
  const uncompressed = accepted.entries.find(({ path }) => path === stem)?.entry;
  return uncompressed === undefined
    ? null
    : { size: uncompressed.size, hashes: uncompressed.hashes };
}

/** Bytes that decompression may still yield. */
interface Budget {
  /** Of all indices of this snapshot that are not read yet. */
  bytes: number;
  /** Of one index whose uncompressed size Release does not give. */
  readonly unlisted: number;
}

async function readVariants(
  capture: Reading,
  budget: Budget,
  stem: string,
  variants: readonly SnapshotIndex[],
  listed: Content | null,
  onBlob: (blob: Blob) => void,
): Promise<void> {
  const readable = PARSED_FIRST.flatMap((compression) =>
    variants.filter(({ path }) => compressionOf(path) === compression),
  );
  if (readable.length === 0) {
    const found = variants.map(({ path }) => path).join(', ') || 'none';
    throw new DebgeoError('INDEX_MISSING', `no variant of ${stem} can be read`, {
      expected: PARSED_FIRST.join(', '),
      found,
    });
  }
  let content = listed;
  for (const [position, variant] of readable.entries()) {
    const reader = isPackages(stem)
      ? new PackagesReader('', onBlob)
      : new SourcesReader('', onBlob);
    const read = await readVariant(
      capture,
      budget,
      variant,
      content,
      position === 0 ? reader : null,
    );
    const difference = content && differenceOf(content, read);
    if (difference) throw contradiction(variant, difference.expected, difference.found);
    content ??= { size: read.size, hashes: { SHA256: read.hashes.SHA256 } };
  }
}

/** Decompresses an index as a stream, hashes what comes out and lets the reader see it. */
async function readVariant(
  capture: Reading,
  budget: Budget,
  variant: SnapshotIndex,
  content: Content | null,
  reader: PackagesReader | SourcesReader | null,
): Promise<Measured> {
  const compression = compressionOf(variant.path);
  const bytes = await capture.open(variant);
  if (bytes === null || compression === 'unsupported')
    throw new Error(`the catalog cannot read ${variant.path}`);
  const sizeMax = Math.min(content?.size ?? budget.unlisted, budget.bytes);
  const measure = new Measure(content?.hashes ?? {});
  try {
    for await (const chunk of decompress(bytes, compression, sizeMax, capture.signal)) {
      capture.signal.throwIfAborted();
      measure.add(chunk);
      reader?.push(chunk);
    }
    reader?.end();
    budget.bytes -= measure.size;
  } catch (error) {
    throw withVariant(error, variant, content);
  }
  return measure.end();
}

/**
 * The error with the variant of the index that it was found in. More bytes than Release lists for
 * the uncompressed index are INDEX_CONTRADICTION.
 */
function withVariant(error: unknown, variant: SnapshotIndex, content: Content | null): unknown {
  if (!(error instanceof DebgeoError)) return error;
  if (
    error.code === 'LIMIT_EXCEEDED' &&
    content !== null &&
    error.report.expected === `at most ${content.size} bytes`
  )
    return contradiction(variant, `${content.size} bytes`, 'more');
  return new DebgeoError(
    error.code,
    `${variant.path}: ${error.message}`,
    expectedAndFound(error),
    error,
  );
}

const contradiction = (variant: SnapshotIndex, expected: string, found: string): DebgeoError =>
  new DebgeoError(
    'INDEX_CONTRADICTION',
    `${variant.path} does not decompress to what Release lists, or to what its other variants hold`,
    {
      expected,
      found,
    },
  );
