import { defineEntity, p } from '@mikro-orm/postgresql';

import type { ArchiveLogin } from '../../domain/archive-login.ts';

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
    /** Names secrets, and holds none. */
    login: p.json<ArchiveLogin>().nullable(),
    /** Certificates beside those of the system, PEM. */
    ca: p.blob().nullable(),
    /** It, and where it redirects to, may have a loopback or private address. */
    privateNetwork: p.boolean().default(false),
    /** The login may go over http. */
    insecure: p.boolean().default(false),
  },
});

export class Archive extends schema.class {}
schema.setClass(Archive);
