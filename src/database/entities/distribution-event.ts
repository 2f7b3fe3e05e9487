import { defineEntity, p } from '@mikro-orm/postgresql';

import { DebianDistribution } from './debian-distribution.ts';
import { ReplicationSite } from './replication-site.ts';

const schema = defineEntity({
  name: 'DistributionEvent',
  tableName: 'distribution_events',
  properties: {
    id: p.bigint('number').primary().autoincrement(),
    distribution: () => p.manyToOne(DebianDistribution).ref().deleteRule('cascade'),
    site: () => p.manyToOne(ReplicationSite).ref().nullable(),
    generation: p.integer().nullable(),
    /** captured, published, synced, cancelled, … */
    what: p.text(),
    facts: p.json<Readonly<Record<string, unknown>>>().defaultRaw(`'{}'`),
    at: p.datetime().columnType('timestamptz').defaultRaw('now()'),
  },
});

export class DistributionEvent extends schema.class {}
schema.setClass(DistributionEvent);
