/**
 * What rots at the sites of a soak: which files are wrong, since when, and until when. A reader
 * that fails by one of these has not found a fault of debgeo.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { RestError, type ContainerClient } from '@azure/storage-blob';

import { rot as flipOnDisk } from '../../src/demo/rot-and-repair.ts';
import type { Corruption } from '../support/corruptions.ts';
import type { Kind, RotDecision, SiteName } from './decisions.ts';

export const MOUNT = 'debian';

export interface RotPlace {
  readonly container: ContainerClient;
  /** In which Azurite keeps the bytes. */
  readonly blobFolder: string;
}

/** A file that is wrong since `since`; times are milliseconds since 1970. */
export interface RottenFile {
  readonly site: SiteName;
  /** Below the mount. */
  readonly path: string;
  readonly kind: Kind;
  readonly how: Corruption;
  readonly since: number;
  /** Of the bytes that were put there; null: none. */
  readonly rotten: string | null;
  /** Of the bytes that are right; null: a published name has others in each release. */
  readonly right: string | null;
  until: number | null;
  /** `repaired`; `pruned`: it is gone, and no release that the site serves names it. */
  end: 'repaired' | 'pruned' | null;
}

const CHECKS_AT_ONCE = 8;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export class Rot {
  readonly files: RottenFile[] = [];
  readonly #places: ReadonlyMap<SiteName, RotPlace>;
  readonly #archiveFolder: string;
  readonly #newest: () => readonly string[];

  /** @param newest paths that the archive's newest releases name and that never change */
  constructor(
    places: ReadonlyMap<SiteName, RotPlace>,
    archiveFolder: string,
    newest: () => readonly string[],
  ) {
    this.#places = places;
    this.#archiveFolder = archiveFolder;
    this.#newest = newest;
  }

  get open(): readonly RottenFile[] {
    return this.files.filter(({ until }) => until === null);
  }

  /** The files that were rotten at a site at some time between these. */
  between(site: SiteName, from: number, to: number): readonly RottenFile[] {
    return this.files.filter(
      (file) => file.site === site && file.since <= to && (file.until ?? to) >= from,
    );
  }

  /** @returns null: there is no such file now, or the lane was faster */
  async corrupt(decision: RotDecision): Promise<RottenFile | null> {
    const { container } = this.#places.get(decision.site)!;
    try {
      const path = await this.#choose(decision);
      if (path === null) return null;
      const blob = container.getBlockBlobClient(`${MOUNT}/${path}`);
      const { etag } = await blob.getProperties();
      const before = await blob.downloadToBuffer();
      const { kind, site, how } = decision;
      const right = kind === 'published name' ? null : await this.#rightSum(path);
      if (right !== null && right !== sha256(before)) return null;
      const wrong = wrongBytes(decision, before);
      const file: RottenFile = {
        ...{ site, path, kind, how, right, since: Date.now(), until: null, end: null },
        rotten: wrong === null ? null : sha256(wrong),
      };
      this.files.push(file); // before it is wrong: a reader may be faster than the answer
      if (await this.#write(decision, path, { before, wrong, etag: etag! })) return file;
      this.files.splice(this.files.indexOf(file), 1);
      return null;
    } catch (error) {
      if (error instanceof RestError) return null;
      throw error;
    }
  }

  /** @returns false: something else was written there meanwhile */
  async #write(
    { site, kind, how }: RotDecision,
    path: string,
    bytes: { readonly before: Buffer; readonly wrong: Buffer | null; readonly etag: string },
  ): Promise<boolean> {
    const { container, blobFolder } = this.#places.get(site)!;
    const blob = container.getBlockBlobClient(`${MOUNT}/${path}`);
    const conditions = { ifMatch: bytes.etag };
    const isFlip = kind === 'published name' && how === 'bit flip';
    try {
      if (isFlip)
        await flipOnDisk(blobFolder, bytes.before, async () =>
          bytes.wrong!.equals(await blob.downloadToBuffer()),
        );
      else if (bytes.wrong === null) await blob.delete({ conditions });
      else await blob.upload(bytes.wrong, bytes.wrong.length, { conditions });
      return true;
    } catch (error) {
      const isLate = error instanceof RestError && [404, 409, 412].includes(error.statusCode ?? 0);
      if (isLate || isFlip) return false;
      throw error;
    }
  }

  /** Behind the back of the soak itself: a fault that it must find. @param bytes null: none */
  async plant(site: SiteName, path: string, bytes: Buffer | null): Promise<void> {
    const blob = this.#places.get(site)!.container.getBlockBlobClient(`${MOUNT}/${path}`);
    if (bytes === null) await blob.delete();
    else await blob.upload(bytes, bytes.length);
  }

  /** Looks which of the rotten files are right again. */
  async check(): Promise<readonly RottenFile[]> {
    const ended: RottenFile[] = [];
    const queue = Iterator.from(this.open.slice());
    const look = async (): Promise<void> => {
      for (const file of queue) {
        const end = await this.#endOf(file).catch(() => null);
        if (end === null) continue;
        file.end = end;
        file.until = Date.now();
        ended.push(file);
      }
    };
    await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, look));
    return ended;
  }

  /** What no release that the site serves names any more is not waited for. */
  giveUp(site: SiteName, named: ReadonlySet<string>): void {
    for (const file of this.open) {
      if (file.site !== site || file.kind === 'published name' || named.has(file.path)) continue;
      file.end = 'pruned';
      file.until = Date.now();
    }
  }

  async #endOf(file: RottenFile): Promise<RottenFile['end']> {
    const { container } = this.#places.get(file.site)!;
    const found = await downloadIfAny(container, `${MOUNT}/${file.path}`);
    if (found === null) return file.rotten === null || file.right === null ? null : 'pruned';
    const sum = sha256(found);
    if (file.right === null) return sum === file.rotten ? null : 'repaired';
    return sum === file.right ? 'repaired' : null;
  }

  async #choose({ site, kind, how, newest, which }: RotDecision): Promise<string | null> {
    const names: string[] = [];
    const { container } = this.#places.get(site)!;
    for await (const { name } of container.listBlobsFlat({ prefix: `${MOUNT}/` }))
      names.push(name.slice(MOUNT.length + 1));
    const rotten = new Set(this.open.filter((one) => one.site === site).map(({ path }) => path));
    const among = newest && kind !== 'published name' ? new Set(this.#newest()) : null;
    const fit = names.filter(
      (name) =>
        kindOf(name) === kind &&
        !rotten.has(name) &&
        (among?.has(name) ?? true) &&
        // Bytes of Release stand in InRelease, too, and those of an index in its by-hash files: on
        // disk only InRelease is a place of its own.
        (kind !== 'published name' || how !== 'bit flip' || name.endsWith('/InRelease')),
    );
    return fit[Math.floor(which * fit.length)] ?? null;
  }

  async #rightSum(path: string): Promise<string> {
    return sha256(await readFile(join(this.#archiveFolder, path)));
  }
}

const kindOf = (path: string): Kind => {
  if (path.startsWith('pool/')) return 'pool';
  return path.includes('/by-hash/') ? 'by-hash' : 'published name';
};

function wrongBytes({ how, kind, where }: RotDecision, before: Buffer): Buffer | null {
  if (how === 'deletion') return null;
  if (how === 'bit flip') {
    const bytes = Buffer.from(before);
    // As `rot` does on disk: in the middle.
    const at = Math.floor(before.length * (kind === 'published name' ? 0.5 : where));
    bytes[at] = bytes[at]! ^ 1;
    return bytes;
  }
  if (how === 'same-length swap') return randomBytes(before.length);
  if (how === 'truncation') return before.subarray(0, Math.floor(before.length * where));
  return how === 'zero length'
    ? Buffer.alloc(0)
    : Buffer.concat([Buffer.from('older'), before.subarray(0, before.length - 1)]);
}

async function downloadIfAny(container: ContainerClient, name: string): Promise<Buffer | null> {
  try {
    return await container.getBlockBlobClient(name).downloadToBuffer();
  } catch (error) {
    if (error instanceof RestError && error.statusCode === 404) return null;
    throw error;
  }
}
