import { defineEntity, p } from '@mikro-orm/postgresql';

import type { ErrorCode, ErrorReport } from '../../domain/errors.ts';
import { ReplicationSite } from './replication-site.ts';

const schema = defineEntity({
  name: 'Prune',
  tableName: 'prunes',
  properties: {
    site: () => p.manyToOne(ReplicationSite).primary().ref(),
    nextAt: p.datetime().columnType('timestamptz'),
    startedAt: p.datetime().columnType('timestamptz').nullable(),
    /** Of the last run that ended well. */
    endedAt: p.datetime().columnType('timestamptz').nullable(),
    /** Deleted at the site since startedAt. */
    blobs: p.integer().default(0),
    bytes: p.bigint('number').default(0),
    /** Deleted from the catalog since startedAt. */
    snapshots: p.integer().default(0),
    /** That run reached its share: the rest is for the next ones. */
    more: p.boolean().default(false),
    /** Of the last run; null when it was fine. */
    failureCode: p.text().$type<ErrorCode>().nullable(),
    failure: p.json<ErrorReport>().nullable(),
    failureCount: p.integer().default(0),
    /** The newest ticket that came (claims.ts). */
    fence: p.bigint('number').defaultRaw(`nextval('ticket')`),
  },
});

export class Prune extends schema.class {}
schema.setClass(Prune);
