/**
 * Where a stack of dev or demo keeps its state, and the one file that says how to reach its
 * servers.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';
import { DATA_FOLDER, readEnvironment } from './environment.ts';

export type StackKind = 'demo' | 'dev';

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

/** `./.debgeo/<kind>`, or below DEBGEO_DATA_DIR. @throws CONFIG_INVALID */
export const stackFolder = (kind: StackKind): string =>
  resolve(readEnvironment().DEBGEO_DATA_DIR, kind);

/**
 * What to type in another terminal so that a command of debgeo finds the servers of this stack.
 * @throws CONFIG_INVALID
 */
export function commandOf(kind: StackKind): (words: string) => string {
  const folder = readEnvironment().DEBGEO_DATA_DIR;
  const variable = folder === DATA_FOLDER ? '' : `DEBGEO_DATA_DIR=${resolve(folder)} `;
  return (words) => `${variable}npm run -s debgeo -- ${words} --${kind}`;
}

const fileOf = (folder: string): string => join(folder, 'stack.json');

/**
 * The file does not say whether its servers run now.
 * @throws CONFIG_INVALID when no stack was ever started in this folder
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
 * The file holds the password and keys of local servers, hence 0600. It is renamed into place, so
 * that a reader never sees half of it.
 */
export function writeStackFile(folder: string, urls: StackUrls): void {
  const partial = `${fileOf(folder)}.partial`;
  writeFileSync(partial, `${JSON.stringify(urls, null, 2)}\n`, { mode: 0o600 });
  renameSync(partial, fileOf(folder));
}
