/** The rows of a new generation: the snapshot itself, and the indices that its Release lists. */
import { sql } from 'kysely';

import type { Snapshot } from '../../domain/snapshot.ts';
import { DistributionSnapshot } from '../entities/distribution-snapshot.ts';
import type { Tx } from '../orm.ts';
import { run } from '../sql.ts';

export async function insertSnapshot(
  { em }: Tx,
  distributionId: number,
  generation: number,
  snapshot: Snapshot,
  files: { readonly count: number; readonly bytes: number },
): Promise<void> {
  const { inRelease, release, releaseGpg } = snapshot.releaseSet;
  em.create(DistributionSnapshot, {
    distribution: distributionId,
    generation,
    inRelease: bufferOf(inRelease),
    release: bufferOf(release),
    releaseGpg: bufferOf(releaseGpg),
    bodySha256: Buffer.from(snapshot.bodySha256, 'hex'),
    date: snapshot.date,
    validUntil: snapshot.validUntil,
    signers: [...snapshot.signers],
    untorn: snapshot.untorn,
    blobCount: files.count,
    blobBytes: files.bytes,
  });
  await em.flush();
}

const bufferOf = (bytes: Uint8Array | null): Buffer | null => bytes && Buffer.from(bytes);

/** In SQL: one statement for all of them, and they have no entity. */
export async function insertIndices(
  tx: Tx,
  distributionId: number,
  generation: number,
  snapshot: Snapshot,
): Promise<void> {
  const rows = [
    ...snapshot.indices.map(({ path, sha256, size }) => ({ path, sha256, size })),
    ...snapshot.absent.map((path) => ({ path, sha256: null, size: 0 })),
  ];
  await run(
    tx,
    sql`
      insert into snapshot_indices (distribution_id, generation, path, sha256, size)
      select ${distributionId}, ${generation}, path, decode(sha256, 'hex'), size
      from unnest(
        ${rows.map((row) => row.path)}::text[],
        ${rows.map((row) => row.sha256)}::text[],
        ${rows.map((row) => row.size)}::bigint[]
      ) as t (path, sha256, size)`,
  );
}

/** A generation with the indices of another one. */
export const copyIndices = (
  tx: Tx,
  distributionId: number,
  from: number,
  generation: number,
): Promise<number> =>
  run(
    tx,
    sql`
      insert into snapshot_indices (distribution_id, generation, path, sha256, size)
      select distribution_id, ${generation}, path, sha256, size
      from snapshot_indices
      where distribution_id = ${distributionId}
        and generation = ${from}`,
  );
