import { defineEntity, p } from '@mikro-orm/postgresql';

import type { ErrorCode, ErrorReport } from '../../domain/errors.ts';
import type { GoodSignature } from '../../domain/key-expiry.ts';
import type { ReplicationStatus, Tuning } from '../../domain/replication.ts';
import { Archive } from './archive.ts';
import { ReplicationSite } from './replication-site.ts';

/** What the `tuning` column may override; the rest keeps its default. Milliseconds and counts. */
export interface StoredTuning extends Partial<Tuning> {
  readonly backoffInitialMs?: number;
  readonly backoffCapMs?: number;
  readonly parkedMs?: number;
}

const schema = defineEntity({
  name: 'DebianDistribution',
  tableName: 'debian_distributions',
  uniques: [{ properties: ['archive', 'suite'] }],
  properties: {
    id: p.integer().primary().autoincrement(),
    name: p.text().unique(),
    archive: () => p.manyToOne(Archive).ref(),
    suite: p.text(),
    /** Empty: everything that Release names. */
    components: p.array<string>().default([]),
    architectures: p.array<string>().default([]),
    replicationStatus: p.text().$type<ReplicationStatus>().default('pending'),
    /** The primary site: advertised, first source of repair. */
    replicationSite: () => p.manyToOne(ReplicationSite).ref().nullable(),
    removed: p.boolean().default(false),
    pollIntervalMs: p.bigint('number').default(600_000),
    acceptUndated: p.boolean().default(false),
    /** The newest release may not become older than this; null: as old as it likes. */
    staleAfterMs: p.bigint('number').nullable(),
    tuning: p.json<StoredTuning>().defaultRaw(`'{}'`),
    latestGeneration: p.integer().default(0),
    inReleaseEtag: p.text().nullable(),
    inReleaseLastModified: p.text().nullable(),
    /** Looks since the archive was last asked unconditionally. */
    looks: p.integer().default(0),
    failureCode: p.text().$type<ErrorCode>().nullable(),
    failure: p.json<ErrorReport>().nullable(),
    failureCount: p.integer().default(0),
    /** Of the newest release, at the last look that went well; null before the first. */
    signatures: p.json<readonly GoodSignature[]>().nullable(),
    lookedAt: p.datetime().columnType('timestamptz').nullable(),
    nextLookAt: p.datetime().columnType('timestamptz').defaultRaw('now()'),
    /** Of the last apply that changed it, its archive or one of its sites. */
    changedRev: p.bigint('number').default(0),
    /** The changedRev of the last roster that its workflow was given. */
    seenRev: p.bigint('number').default(0),
    /** Set by a trigger with every write: the larger is the newer. */
    rev: p.bigint('number').defaultRaw(`nextval('revision')`),
  },
});

export class DebianDistribution extends schema.class {}
schema.setClass(DebianDistribution);
