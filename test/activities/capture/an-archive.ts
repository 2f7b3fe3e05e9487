/** A signed archive over HTTP, and captures of it one by one, without a Temporal server. */
import { join } from 'node:path';
import { after } from 'node:test';

import { sql } from 'kysely';
import { pino } from 'pino';

import { createCaptureSnapshot } from '../../../activities/capture/capture-snapshot.ts';
import type { Archive } from '../../../src/archive/archive.ts';
import { createHttpArchive } from '../../../src/archive/http-archive.ts';
import { LIMITS } from '../../../src/domain/limits.ts';
import {
  makeBinaryPackage,
  makeSourcePackage,
  type Package,
} from '../../../src/made-archive/deb-package.ts';
import type { SignedArchiveOptions } from '../../../src/made-archive/signed-archive.ts';
import { aDistribution, DISTRIBUTION } from '../../database/distribution-fixture.ts';
import { serveArchive } from '../../support/served-archive.ts';
import { inActivity } from '../lane/lanes.ts';

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers) await close();
});

export const packagesOf = (version: string): Package[] => [
  makeBinaryPackage({
    name: 'hello',
    version,
    architecture: 'amd64',
    payload: Buffer.from(`hello ${version}`),
  }),
  makeBinaryPackage({
    name: 'libc++x',
    version: '2.0~b1+c',
    architecture: 'all',
    payload: Buffer.from('x'),
  }),
  makeSourcePackage({ name: 'hello', version, payload: Buffer.from(`source ${version}`) }),
];

/**
 * A signed archive over HTTP, a distribution of it, and the activity. `around` may come between the
 * two.
 */
export async function anArchive(
  options: {
    archive?: Partial<SignedArchiveOptions>;
    around?: (archive: Archive) => Archive;
    /** How long one index may take. */
    fetchMs?: number;
  } = {},
) {
  const origin = await serveArchive(options.archive);
  const { archive, server } = origin;
  const fixture = await aDistribution({
    sites: ['fra'],
    url: server.url,
    keyring: archive.key.publicBinary,
  });
  closers.push(
    () => fixture.close(),
    () => origin.close(),
  );
  const served = createHttpArchive({ url: server.url, redirectOrigins: [], privateNetwork: true });
  closers.push(() => served.close());
  let around = options.around ?? ((one: Archive) => one);
  const capture = createCaptureSnapshot({
    database: fixture.db,
    archiveOf: async () => around(served),
    siteOf: () => Promise.reject(new Error('a capture asked a site')),
    log: pino({ level: 'silent' }),
    indexLimits: { ...LIMITS, ...(options.fetchMs !== undefined && { fetchMs: options.fetchMs }) },
  });
  return {
    ...fixture,
    archive,
    server,
    file: (path: string) => join(archive.folder, path),
    interpose: (other: (archive: Archive) => Archive) => (around = other),
    look: (unconditional = false, signal?: AbortSignal) =>
      inActivity(
        () => capture({ distribution: DISTRIBUTION, unconditional }),
        signal === undefined ? {} : { signal },
      ),
    members: async (generation: number) => {
      const { rows } = await sql<{ path: string; sha256: string }>`
        select p.path, encode(b.sha256, 'hex') as sha256
        from snapshot_blobs m
        join blobs b on b.id = m.blob_id
        join paths p on p.id = b.path_id
        where m.from_generation <= ${generation} and m.to_generation > ${generation}`.execute(
        fixture.db.read.kysely,
      );
      return new Map(rows.map(({ path, sha256 }) => [path, sha256]));
    },
  };
}
