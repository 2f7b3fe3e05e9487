import { defineEntity, p } from '@mikro-orm/postgresql';

import type { ErrorCode, ErrorReport } from '../../domain/errors.ts';
import type { ReplicationState } from '../../domain/replication.ts';
import { DebianDistribution } from './debian-distribution.ts';
import { ReplicationSite } from './replication-site.ts';

const schema = defineEntity({
  name: 'DistributionReplication',
  tableName: 'distribution_replications',
  properties: {
    distribution: () => p.manyToOne(DebianDistribution).primary().ref().deleteRule('cascade'),
    site: () => p.manyToOne(ReplicationSite).primary().ref(),
    desiredGeneration: p.integer().default(0),
    /**
     * What the lane works on; kept until published, failed without an open publication, or
     * cancelled.
     */
    pinnedGeneration: p.integer().nullable(),
    servedGeneration: p.integer().default(0),
    state: p.text().$type<ReplicationState>().default('pending'),
    paused: p.boolean().default(false),
    /** Cancelled while a publication was open: takes effect when that has ended. */
    cancelRequested: p.boolean().default(false),
    /** The newest ticket that came (claims.ts). */
    fence: p.bigint('number').defaultRaw(`nextval('ticket')`),
    retryCount: p.integer().default(0),
    retryAt: p.datetime().columnType('timestamptz').nullable(),
    failureCode: p.text().$type<ErrorCode>().nullable(),
    failure: p.json<ErrorReport>().nullable(),
    verifyRequestedAt: p.datetime().columnType('timestamptz').nullable(),
    /**
     * The request that a chain reads for, until it is answered; a newer one waits in
     * verifyRequestedAt.
     */
    verifyTakenAt: p.datetime().columnType('timestamptz').nullable(),
    verifyAnsweredAt: p.datetime().columnType('timestamptz').nullable(),
    filesDone: p.integer().default(0),
    filesTotal: p.integer().default(0),
    bytesDone: p.bigint('number').default(0),
    bytesTotal: p.bigint('number').default(0),
    startedAt: p.datetime().columnType('timestamptz').nullable(),
    lastSyncedAt: p.datetime().columnType('timestamptz').nullable(),
    verifiedAt: p.datetime().columnType('timestamptz').nullable(),
    /** Of the last publication: how long published names were changing. */
    windowMs: p.integer().nullable(),
    /** R that H named and this database lost; null: it knows all that was published there. */
    lostRelease: p.blob().nullable(),
    /** Nothing is deleted at the site until then (anchors/distrust.ts). */
    sparedUntil: p.datetime().columnType('timestamptz').nullable(),
    /** Set by a trigger with every write: the larger is the newer. */
    rev: p.bigint('number').defaultRaw(`nextval('revision')`),
  },
});

export class DistributionReplication extends schema.class {}
schema.setClass(DistributionReplication);
