import { readDistribution } from '../../src/database/catalog/distributions.ts';
import { failBlobs } from '../../src/database/registry/claims.ts';
import { recordCorrupt } from '../../src/database/registry/judgements.ts';
import { bookRepaired, claimRotten, type RottenBlob } from '../../src/database/scrub/repairs.ts';
import type { ScrubClaim } from '../../src/database/scrub/scrubs.ts';
import type { Checksum } from '../../src/domain/checksum.ts';
import { DebgeoError } from '../../src/domain/errors.ts';
import { LIMITS } from '../../src/domain/limits.ts';
import { sitePath } from '../../src/domain/repo-path.ts';
import type { SiteStore } from '../../src/site/site-store.ts';
import type { BlobSource } from '../blob-source.ts';
import type { ActivityContext } from '../context.ts';
import { copyBlob, type OnCorrupt } from '../copy-blob.ts';
import type { Deps } from '../deps.ts';
import { inParallel } from '../in-parallel.ts';
import { createOrigins } from '../origins.ts';

interface Origin {
  readonly source: BlobSource;
  readonly mount: string;
}

/** Repairs, in one slice, the wrong blobs that no lane takes. */
export class Repairer {
  readonly #deps: Deps;
  readonly #key: ScrubClaim;
  readonly #store: SiteStore;
  readonly #context: ActivityContext;
  readonly #origins = new Map<number, Promise<Origin | null>>();
  readonly #onCorrupt: OnCorrupt;
  /** Some stay claimed by this slice. */
  #isUnreachable = false;

  constructor(deps: Deps, key: ScrubClaim, store: SiteStore, context: ActivityContext) {
    this.#deps = deps;
    this.#key = key;
    this.#store = store;
    this.#context = context;
    this.#onCorrupt = (blob, found) =>
      recordCorrupt(deps.database.read, blob, {
        path: blob.path,
        expected: blob.sha256,
        found: found.sha256,
      });
  }

  /**
   * What no origin has right is tried again by the next pass, and what an origin does not give out
   * now by a later slice.
   * @returns what is left of it: `more`, which the slice did not come to
   * @throws SITE_*
   */
  async repair(isOver: () => boolean): Promise<'nothing' | 'more' | 'unreachable'> {
    for (;;) {
      const batch = await claimRotten(this.#deps.database, this.#key, LIMITS.batchFiles);
      if (batch.length === 0) return this.#isUnreachable ? 'unreachable' : 'nothing';
      await this.#repairBatch(batch);
      if (isOver()) return 'more';
    }
  }

  async #repairBatch(batch: readonly RottenBlob[]): Promise<void> {
    const { database } = this.#deps;
    const done: Repaired[] = [];
    const failed: { blob: RottenBlob; error: DebgeoError }[] = [];
    try {
      await inParallel(
        batch,
        LIMITS.scrubConcurrency,
        this.#context.signal,
        async (blob, signal) => {
          try {
            const repaired = await this.#copy(blob, signal);
            if (repaired !== null) done.push(repaired);
          } catch (error) {
            if (!(error instanceof DebgeoError) || error.code.startsWith('SITE_')) throw error;
            failed.push({ blob, error });
          }
        },
      );
    } finally {
      await bookRepaired(database, this.#key, done);
      await this.#bookFailed(failed);
    }
  }

  async #copy(blob: RottenBlob, signal: AbortSignal): Promise<Repaired | null> {
    const origin = await this.#originOf(blob);
    if (origin === null) return null;
    const at = {
      store: this.#store,
      placeOf: (path: RottenBlob['path']) => sitePath(origin.mount, path),
    };
    const checksum = await copyBlob(at, origin.source, blob, signal, this.#onCorrupt);
    return { pathId: blob.pathId, blobId: blob.blobId, checksum, blob };
  }

  /** Places that cannot be reached are asked once in a slice. */
  #originOf({ distributionId, distribution }: RottenBlob): Promise<Origin | null> {
    const known = this.#origins.get(distributionId);
    if (known !== undefined) return known;
    const origin = readDistribution(this.#deps.database.read, distribution, { removed: true }).then(
      (found) =>
        found && {
          source: createOrigins(this.#deps, { distribution: found }),
          mount: found.archive.mount,
        },
    );
    this.#origins.set(distributionId, origin);
    return origin;
  }

  async #bookFailed(
    failed: readonly { readonly blob: RottenBlob; readonly error: DebgeoError }[],
  ): Promise<void> {
    const lost = failed.filter(({ error }) => isLost(error));
    this.#isUnreachable ||= lost.length < failed.length;
    for (const { blob, error } of failed)
      this.#deps.log.warn({ path: blob.path, error }, 'a scrub could not repair a file');
    for (const [distributionId, ofOne] of Map.groupBy(lost, ({ blob }) => blob.distributionId)) {
      const { siteId, claim } = this.#key;
      const { generation } = ofOne[0]!.blob;
      await failBlobs(
        this.#deps.database,
        { distributionId, siteId, generation, ticket: 0, claim },
        ofOne.map(({ blob, error }) => ({ pathId: blob.pathId, report: error.report })),
      );
    }
  }
}

interface Repaired {
  readonly pathId: number;
  readonly blobId: number;
  readonly checksum: Checksum;
  readonly blob: RottenBlob;
}

const isLost = ({ code }: DebgeoError): boolean =>
  code === 'BLOB_MISSING' || code === 'BLOB_MISMATCH' || code === 'FOREIGN_WRITE';
