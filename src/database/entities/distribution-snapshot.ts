import { defineEntity, p } from '@mikro-orm/postgresql';

import { DebianDistribution } from './debian-distribution.ts';

const schema = defineEntity({
  name: 'DistributionSnapshot',
  tableName: 'distribution_snapshots',
  properties: {
    distribution: () => p.manyToOne(DebianDistribution).primary().ref().deleteRule('cascade'),
    generation: p.integer().primary(),
    inRelease: p.blob().nullable().lazy(),
    release: p.blob().nullable().lazy(),
    releaseGpg: p.blob().nullable().lazy(),
    /** Identity: SHA-256 of the signed body. */
    bodySha256: p.blob().fieldName('body_sha256'),
    date: p.datetime().columnType('timestamptz').nullable(),
    validUntil: p.datetime().columnType('timestamptz').nullable(),
    signers: p.array<string>(),
    untorn: p.boolean(),
    blobCount: p.integer(),
    blobBytes: p.bigint('number'),
    capturedAt: p.datetime().columnType('timestamptz').defaultRaw('now()'),
  },
});

export class DistributionSnapshot extends schema.class {}
schema.setClass(DistributionSnapshot);
