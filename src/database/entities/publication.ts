import { defineEntity, p } from '@mikro-orm/postgresql';

import { DebianDistribution } from './debian-distribution.ts';
import { ReplicationSite } from './replication-site.ts';

const schema = defineEntity({
  name: 'Publication',
  tableName: 'publications',
  properties: {
    id: p.bigint('number').primary().autoincrement(),
    distribution: () => p.manyToOne(DebianDistribution).ref(),
    site: () => p.manyToOne(ReplicationSite).ref(),
    generation: p.integer(),
    fence: p.bigint('number'),
    /** Path to ETag, or null where nothing was, of every published name before the first write. */
    replaces: p.json<Readonly<Record<string, string | null>>>(),
    startedAt: p.datetime().columnType('timestamptz').defaultRaw('now()'),
    publishedAt: p.datetime().columnType('timestamptz').nullable(),
    /** A newer generation took its place before it was finished. Open: neither this nor that. */
    givenUpAt: p.datetime().columnType('timestamptz').nullable(),
    /** Grace runs from here, at this site. */
    replacedAt: p.datetime().columnType('timestamptz').nullable(),
  },
});

export class Publication extends schema.class {}
schema.setClass(Publication);
