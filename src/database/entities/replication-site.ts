import { defineEntity, p } from '@mikro-orm/postgresql';

/** Where a secret is, never the secret. */
export type StoredCredential =
  | { readonly env: string }
  | { readonly file: string }
  | { readonly identity: 'default' };

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
    credential: p.json<StoredCredential>(),
    /** The task queue is debgeo-site-<worker group, or else the name>. */
    workerGroup: p.text().nullable(),
    enabled: p.boolean().default(true),
    /** To and from it, of each worker; null: as fast as it goes. */
    bytesPerSecond: p.bigint('number').nullable(),
    /** Milliseconds from the moment that the site stopped serving a snapshot. */
    graceMs: p.bigint('number').default(129_600_000),
    /** Of the generations served, the newest ones are kept whatever clocks say. */
    keptGenerations: p.integer().default(2),
    pruneIntervalMs: p.bigint('number').default(3_600_000),
    /** Of `.debgeo/site.json`, as it was written or read; null: the site is not claimed. */
    anchorEtag: p.text().nullable(),
    /** Slices of prunes that deleted files. */
    prunes: p.bigint('number').default(0),
    /** So often all of the site is read back; null: never. */
    scrubIntervalMs: p.bigint('number').nullable().default(2_592_000_000),
    /** By an operator: neither scrubbed nor pruned. */
    paused: p.boolean().default(false),
  },
});

export class ReplicationSite extends schema.class {}
schema.setClass(ReplicationSite);
