/** The rows of a new generation: the snapshot itself, and the indices that its Release lists. */
import { sql } from 'kysely';

import type { Snapshot } from '../../domain/snapshot.ts';
import type { Tx } from '../orm.ts';
import { run, timestamp } from '../sql.ts';

export async function insertSnapshot(
  tx: Tx,
  distributionId: number,
  generation: number,
  snapshot: Snapshot,
  files: { readonly count: number; readonly bytes: number },
): Promise<void> {
  const { inRelease, release, releaseGpg } = snapshot.releaseSet;
  await run(
    tx,
    sql`
      insert into distribution_snapshots (
        distribution_id, generation, in_release, release, release_gpg, body_sha256,
        date, valid_until, signers, untorn, blob_count, blob_bytes
      ) values (
        ${distributionId}, ${generation}, ${inRelease}, ${release}, ${releaseGpg},
        decode(${snapshot.bodySha256}, 'hex'),
        ${timestamp(snapshot.date)}, ${timestamp(snapshot.validUntil)},
        ${[...snapshot.signers]}::text[], ${snapshot.untorn}, ${files.count}, ${files.bytes}
      )`,
  );
}

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
