/**
 * Where a stack of dev or demo keeps its state, and the one file that says how to reach its
 * servers.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';

export interface BlobServer {
  readonly name: string;
  /** `http://127.0.0.1:PORT/ACCOUNT`: the account URL as the SDK takes it. */
  readonly url: string;
  readonly account: string;
  readonly key: string;
  /** Where Azurite keeps the bytes. */
  readonly folder: string;
}

export interface StackUrls {
  readonly databaseUrl: string;
  /** host:port of the Temporal frontend; its namespace is `default`. */
  readonly temporalAddress: string;
  readonly temporalUi: string;
  readonly blobs: readonly BlobServer[];
}

/** `./.debgeo/<kind>`, or below DEBGEO_DATA_DIR. */
export const stackFolder = (kind: 'dev' | 'demo'): string =>
  resolve(process.env['DEBGEO_DATA_DIR'] || '.debgeo', kind);

/**
 * How to type a command of debgeo in another terminal, so that it finds the servers of this one.
 */
export const commandOf =
  (kind: 'dev' | 'demo') =>
  (words: string): string => {
    const folder = process.env['DEBGEO_DATA_DIR'];
    return `${folder ? `DEBGEO_DATA_DIR=${resolve(folder)} ` : ''}npm run -s debgeo -- ${words} --${kind}`;
  };

const fileOf = (folder: string): string => join(folder, 'stack.json');

/**
 * CONFIG_INVALID when no stack was ever started in this folder. That its servers run now is not
 * said by the file.
 */
export function readStackFile(folder: string): StackUrls {
  const urls = readStackFileIfAny(folder);
  if (urls) return urls;
  throw new DebgeoError('CONFIG_INVALID', `no servers were ever started in ${folder}`, {
    expected: `${fileOf(folder)}, which npm run demo -- --keep or npm run dev writes`,
    found: 'no such file',
  });
}

export function readStackFileIfAny(folder: string): StackUrls | null {
  try {
    return JSON.parse(readFileSync(fileOf(folder), 'utf8')) as StackUrls;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new DebgeoError(
      'CONFIG_INVALID',
      `${fileOf(folder)} cannot be read`,
      { found: String(error) },
      error,
    );
  }
}

/**
 * Holds the password and keys of local servers, hence 0600; renamed into place, so that a reader
 * never sees half of it.
 */
export function writeStackFile(folder: string, urls: StackUrls): void {
  const partial = `${fileOf(folder)}.partial`;
  writeFileSync(partial, `${JSON.stringify(urls, null, 2)}\n`, { mode: 0o600 });
  renameSync(partial, fileOf(folder));
}
