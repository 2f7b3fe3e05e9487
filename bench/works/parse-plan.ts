/**
 * An index of 63,000 stanzas through the readers of src/domain, into the catalog and into the
 * registry of a real database: no blobs, no worker, no workflow. Each step is a contender of its
 * own, because none has a peer.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { readDistribution } from '../../src/database/catalog/distributions.ts';
import { saveSnapshot } from '../../src/database/catalog/save-snapshot.ts';
import { applyConfiguration } from '../../src/database/configuration/apply-configuration.ts';
import { connectDatabase } from '../../src/database/orm.ts';
import { planBlobs } from '../../src/database/registry/plan-blobs.ts';
import { startAttempt } from '../../src/database/replications/attempts.ts';
import { BlobSet } from '../../src/domain/blob-set.ts';
import { PackagesReader } from '../../src/domain/index-file.ts';
import { sha256Of } from '../../src/domain/sha256.ts';
import type { Snapshot } from '../../src/domain/snapshot.ts';
import type { Corpus } from '../corpus.ts';
import { secondsSince } from '../installation.ts';
import type { WorkGroup } from '../work.ts';
import { openManyPackages } from './many-packages.ts';

/** As large as the chunks of a stream. */
const CHUNK_BYTES = 64 * 1024;
const AT = { distribution: 's1', site: 'fra' };

let corpus: Corpus;

export const parsePlan: WorkGroup = {
  works: ['parse-plan'],
  async prepare(bench) {
    corpus = await openManyPackages(bench);
  },
  async round({ testbed, book }, round) {
    const index = gunzipSync(
      readFileSync(join(corpus.folder, 'archive/dists/s1/main/binary-amd64/Packages.gz')),
    );
    let poolFiles = new BlobSet();
    const perStanza = (seconds: number) => ({
      stanzas: poolFiles.size,
      'µs per stanza': ((seconds / poolFiles.size) * 1e6).toFixed(1),
    });
    const step = async (contender: string, work: () => Promise<void> | void): Promise<void> => {
      let seconds = 0;
      const timed = async (): Promise<number> => {
        const began = performance.now();
        await work();
        seconds = secondsSince(began);
        return seconds;
      };
      await book.time('parse-plan', contender, round, timed, () => perStanza(seconds));
    };

    await step('parse', () => {
      poolFiles = parse(index);
    });
    const database = await connectDatabase(await testbed.freshDatabase());
    try {
      await applyConfiguration(database, CONFIGURATION, false);
      const inRelease = readFileSync(join(corpus.folder, 'archive/dists/s1/InRelease'));
      const { id } = (await readDistribution(database.read, AT.distribution))!;
      await step('save the snapshot', async () => {
        await saveSnapshot(database, id, snapshotOf(inRelease, poolFiles), {
          etag: null,
          lastModified: null,
        });
      });
      const begun = await startAttempt(database, AT, { generation: 1, ticket: null, attempt: 1 });
      if ('stale' in begun) throw new Error('another attempt works here');
      const { key: lane } = begun;
      await step('plan', async () => {
        await database.transaction((tx) => planBlobs(tx, lane));
      });
      await step('plan again, everything planned', async () => {
        await database.transaction((tx) => planBlobs(tx, lane));
      });
    } finally {
      await database.close();
    }
  },
};

function parse(index: Buffer): BlobSet {
  const blobs = new BlobSet();
  const reader = new PackagesReader('', (blob) => blobs.add(blob));
  for (let from = 0; from < index.length; from += CHUNK_BYTES)
    reader.push(index.subarray(from, from + CHUNK_BYTES));
  reader.end();
  return blobs;
}

const snapshotOf = (inRelease: Buffer, poolFiles: BlobSet): Snapshot => ({
  releaseSet: { inRelease, release: null, releaseGpg: null },
  bodySha256: sha256Of(inRelease),
  date: new Date(),
  validUntil: null,
  signers: [],
  untorn: true,
  indices: [],
  absent: [],
  poolFiles,
});

/** Neither the archive nor the site is read: port 9 answers nothing. */
const CONFIGURATION: Parameters<typeof applyConfiguration>[1] = {
  archives: {
    bench: {
      url: 'http://127.0.0.1:9',
      mount: 'debian',
      keyring: null,
      redirect_origins: [],
      private_network: true,
    },
  },
  sites: {
    fra: {
      account_url: 'http://127.0.0.1:9/fra',
      container: 'bench',
      prefix: '',
      public_url: 'http://127.0.0.1:9/fra/bench',
      credential: { env: 'NEVER_READ' },
      state: 'present',
    },
  },
  distributions: {
    s1: {
      archive: 'bench',
      suite: 's1',
      components: [],
      architectures: [],
      sites: ['fra'],
      primary: 'fra',
      poll: 3_600_000,
      accept_undated: false,
      state: 'present',
    },
  },
};
