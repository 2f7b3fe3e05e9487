import { defineEntity, p } from '@mikro-orm/postgresql';

import type { ErrorCode, ErrorReport } from '../../domain/errors.ts';
import { ReplicationSite } from './replication-site.ts';

const schema = defineEntity({
  name: 'Scrub',
  tableName: 'scrubs',
  properties: {
    site: () => p.manyToOne(ReplicationSite).primary().ref(),
    /** Null: off, or the site is not enabled. */
    intervalMs: p.bigint('number').nullable(),
    /** When the interval was set to what it is. */
    since: p.datetime().columnType('timestamptz').defaultRaw('now()'),
    /** Of the next slice, or of the next pass. */
    nextAt: p.datetime().columnType('timestamptz'),
    /** A pass is asked for that begins after this, and reads without pauses. */
    askedAt: p.datetime().columnType('timestamptz').nullable(),
    /** Of the pass in work, or of the last one. */
    startedAt: p.datetime().columnType('timestamptz').nullable(),
    /** Null: a pass is in work. */
    endedAt: p.datetime().columnType('timestamptz').nullable(),
    /** The cursor: the last blob, and the last published name, that the pass has read. */
    pathId: p.bigint('number').default(0),
    distributionId: p.integer().default(0),
    name: p.text().default(''),
    /** What the site had when the pass began. */
    filesTotal: p.integer().default(0),
    bytesTotal: p.bigint('number').default(0),
    /** Read by the pass. */
    files: p.integer().default(0),
    bytes: p.bigint('number').default(0),
    /** Found wrong by the pass; and of those, repaired by itself. */
    wrong: p.integer().default(0),
    repaired: p.integer().default(0),
    /** When the last complete pass began. */
    lastStartedAt: p.datetime().columnType('timestamptz').nullable(),
    /** Of the last slice; null when it was fine. */
    failureCode: p.text().$type<ErrorCode>().nullable(),
    failure: p.json<ErrorReport>().nullable(),
    failureCount: p.integer().default(0),
    /** The newest ticket that came (claims.ts). */
    fence: p.bigint('number').defaultRaw(`nextval('ticket')`),
  },
});

export class Scrub extends schema.class {}
schema.setClass(Scrub);
