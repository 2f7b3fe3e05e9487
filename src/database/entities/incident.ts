import { defineEntity, p } from '@mikro-orm/postgresql';

import type { ErrorCode } from '../../domain/errors.ts';
import { DebianDistribution } from './debian-distribution.ts';
import { ReplicationSite } from './replication-site.ts';

const schema = defineEntity({
  name: 'Incident',
  tableName: 'incidents',
  properties: {
    id: p.bigint('number').primary().autoincrement(),
    distribution: () => p.manyToOne(DebianDistribution).ref().nullable().deleteRule('cascade'),
    site: () => p.manyToOne(ReplicationSite).ref().nullable(),
    generation: p.integer().nullable(),
    code: p.text().$type<ErrorCode>(),
    path: p.text().nullable(),
    message: p.text(),
    expected: p.text().nullable(),
    found: p.text().nullable(),
    firstAt: p.datetime().columnType('timestamptz').defaultRaw('now()'),
    lastAt: p.datetime().columnType('timestamptz').defaultRaw('now()'),
    times: p.integer().default(1),
    resolvedAt: p.datetime().columnType('timestamptz').nullable(),
    resolution: p.text().nullable(),
  },
});

export class Incident extends schema.class {}
schema.setClass(Incident);
