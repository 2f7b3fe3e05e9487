import { defineEntity, p } from '@mikro-orm/postgresql';

const schema = defineEntity({
  name: 'ReplicationSite',
  tableName: 'replication_sites',
  uniques: [{ properties: ['accountUrl', 'container', 'prefix'] }],
  properties: {
    id: p.integer().primary().autoincrement(),
    name: p.text().unique(),
    accountUrl: p.text(),
    container: p.text(),
    prefix: p.text().default(''),
    publicUrl: p.text(),
    /** A reference, never the secret. */
    credential: p.json<{ env: string } | { file: string }>(),
    /** The task queue is debgeo-site-<worker group, or else the name>. */
    workerGroup: p.text().nullable(),
    enabled: p.boolean().default(true),
  },
});

export class ReplicationSite extends schema.class {}
schema.setClass(ReplicationSite);
