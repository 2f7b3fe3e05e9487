import { defineEntity, p } from '@mikro-orm/postgresql';

import { DebianDistribution } from './debian-distribution.ts';

const schema = defineEntity({
  name: 'OlderAcceptance',
  tableName: 'older_acceptances',
  properties: {
    id: p.bigint('number').primary().autoincrement(),
    distribution: () => p.manyToOne(DebianDistribution).ref().deleteRule('cascade'),
    reason: p.text(),
    acceptedBy: p.text(),
    acceptedAt: p.datetime().columnType('timestamptz').defaultRaw('now()'),
    /** A look at the archive began that may use it. */
    takenAt: p.datetime().columnType('timestamptz').nullable(),
    /** It was used, or that look has ended without. */
    endedAt: p.datetime().columnType('timestamptz').nullable(),
    /** That it let in; null: none. */
    generation: p.integer().nullable(),
  },
});

export class OlderAcceptance extends schema.class {}
schema.setClass(OlderAcceptance);
