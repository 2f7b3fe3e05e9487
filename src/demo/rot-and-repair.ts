/**
 * One byte of a file rots in the storage of a site, where no listing and no HEAD shows it; `debgeo
 * verify` finds exactly that file and repairs it.
 */
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { sql } from 'kysely';

import { connectDatabase } from '../database/orm.ts';
import { all } from '../database/sql.ts';
import { digest } from '../witness/ask-as-apt.ts';
import { hold, type Stage } from './stage.ts';

export interface Repair {
  readonly corruptionsRepaired: number;
}

/** @param victim a pool file, as its index lists it */
export async function rotAndRepair(
  stage: Stage,
  victim: { readonly path: string; readonly sha256: string },
): Promise<Repair> {
  const { path } = victim;
  const url = `${stage.sin.url}/${encodePath(path)}`;
  const before = await read(url);
  hold(before.sha256 === victim.sha256, 'the bytes at sin are right at first');

  await rot(
    stage.sin.blobFolder,
    before.bytes,
    async () => (await read(url)).sha256 !== before.sha256,
  );
  const rotten = await read(url);
  hold(rotten.sha256 !== before.sha256, 'sin now serves other bytes');
  hold(
    rotten.headers === before.headers,
    'size, ETag and Content-MD5 are as before: no listing and no HEAD shows it',
  );
  stage.say(`${path}: bytes differ; size, ETag and Content-MD5 do not:`);
  stage.say(`  ${rotten.headers}`);

  const verified = await stage.debgeo(
    ['verify', stage.replicated.distribution, '--site', 'sin', '--wait'],
    { limitMs: null },
  );

  hold(verified.exitCode === 0, 'verify ends well');
  const found = await readCorruptions(stage.databaseUrl);
  hold(
    found.length === 1 && found[0]?.site === 'sin' && found[0].path === path,
    `exactly ${path} at sin is found\n${JSON.stringify(found)}`,
  );
  hold(found[0].resolved, 'the incident is resolved');
  const repaired = await read(url);
  hold(repaired.sha256 === before.sha256, 'sin serves the right bytes again');
  stage.say(`found: ${path} at sin, and nothing else`);
  stage.say('repaired: its bytes are what the archive released');
  return { corruptionsRepaired: found.length };
}

interface Seen {
  readonly bytes: Uint8Array;
  readonly sha256: string;
  /** Those that a blob copier compares. */
  readonly headers: string;
}

async function read(url: string): Promise<Seen> {
  const response = await fetch(url);
  hold(response.status === 200, `${url} is served: ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const headers = ['content-length', 'etag', 'content-md5'].map(
    (name) => `${name} ${response.headers.get(name) ?? 'none'}`,
  );
  hold(response.headers.get('content-md5') !== null, 'the site sends a Content-MD5');
  return { bytes, sha256: digest('sha256', bytes), headers: headers.join(', ') };
}

/**
 * Flips one bit in the file in which Azurite keeps these bytes. After an upload that was given up
 * they may be there several times: the place that the site serves is the one whose change `isSeen`.
 */
export async function rot(
  folder: string,
  bytes: Uint8Array,
  isSeen: () => Promise<boolean>,
): Promise<void> {
  const extents = join(folder, '__blobstorage__');
  for (const name of await readdir(extents)) {
    const file = join(extents, name);
    const content = await readFile(file);
    for (let at = content.indexOf(bytes); at >= 0; at = content.indexOf(bytes, at + 1)) {
      const target = at + Math.floor(bytes.length / 2);
      await flipBit(file, target);
      if (await isSeen()) return;
      await flipBit(file, target);
    }
  }
  hold(false, `a file in ${extents} has the bytes`);
}

/** In place, because the file may grow meanwhile. */
async function flipBit(file: string, offset: number): Promise<void> {
  await using handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await handle.write(byte, 0, 1, offset);
}

const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** All corruptions on record. */
async function readCorruptions(
  databaseUrl: string,
): Promise<{ readonly site: string; readonly path: string; readonly resolved: boolean }[]> {
  const database = await connectDatabase(databaseUrl);
  try {
    return await all(
      database.read,
      sql<{ site: string; path: string; resolved: boolean }>`
        select s.name as site, i.path, i.resolved_at is not null as resolved
        from incidents i
        join replication_sites s on s.id = i.site_id
        where i.code = 'BLOB_CORRUPT'
        order by i.id`,
    );
  } finally {
    await database.close();
  }
}
