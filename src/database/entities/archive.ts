import { defineEntity, p } from '@mikro-orm/postgresql';

const schema = defineEntity({
  name: 'Archive',
  tableName: 'archives',
  properties: {
    id: p.integer().primary().autoincrement(),
    name: p.text().unique(),
    url: p.text(),
    /** Folder on every site: two archives never meet. */
    mount: p.text().unique(),
    /** Null: unsigned is allowed, on purpose. */
    keyring: p.blob().nullable(),
    redirectOrigins: p.array<string>().default([]),
  },
});

export class Archive extends schema.class {}
schema.setClass(Archive);
