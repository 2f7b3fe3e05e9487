/**
 * Reads what a reference names, where the worker runs, and nothing else of that machine: a
 * configuration that somebody else wrote says only where to look.
 */
import { constants } from 'node:fs';
import { open, realpath, type FileHandle } from 'node:fs/promises';
import { isAbsolute, relative, resolve } from 'node:path';

import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { faultOfVariable, nameOf, type SecretReference } from '../domain/secret-reference.ts';

type Variables = Readonly<Record<string, string | undefined>>;

/** Kubernetes replaces the folder behind its links: what was resolved may be gone when opened. */
const ATTEMPTS = 5;

/** Read each time: a secret that was rotated is used without a restart. */
export class Secrets {
  readonly #variables: Variables;
  readonly #folder: string | null;

  /** @param folder DEBGEO_SECRETS_DIR: only files in it may be named; null: any file */
  constructor(variables: Variables, folder: string | null) {
    this.#variables = variables;
    this.#folder = folder;
  }

  /**
   * @returns the text as it is; null: not there, not readable, or empty
   * @throws REFERENCE_REFUSED a variable of another name than DEBGEO_*; a file outside of the
   *   folder, too large, or no regular one
   */
  async read(reference: SecretReference): Promise<string | null> {
    if ('file' in reference) return this.#readFile(reference);
    const fault = faultOfVariable(reference.env);
    if (fault !== null) throw refused(reference, fault, reference.env);
    return this.#variables[reference.env] || null;
  }

  async #readFile(reference: { readonly file: string }): Promise<string | null> {
    const handle = await this.#open(reference);
    if (handle === null) return null;
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw refused(reference, 'a regular file', 'a folder, device or pipe');
      if (stats.size > LIMITS.secretBytes)
        throw refused(reference, `at most ${LIMITS.secretBytes} bytes`, `${stats.size} bytes`);
      // As long as it says: so nothing is read of files of the kernel, which say 0 and hold the
      // whole environment (/proc/self/environ).
      const bytes = Buffer.alloc(stats.size);
      let length = 0;
      for (let read = -1; read !== 0 && length < bytes.length; length += read)
        ({ bytesRead: read } = await handle.read(bytes, length, bytes.length - length, null));
      return bytes.toString('utf8', 0, length) || null;
    } finally {
      await handle.close();
    }
  }

  /** Null: it is not there, or not readable. */
  async #open(reference: { readonly file: string }): Promise<FileHandle | null> {
    // O_NONBLOCK: opening a pipe would wait for its writer.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const place = await this.#resolve(reference);
      const handle = place === null ? null : await open(place, flags).catch(() => null);
      if (handle !== null) return handle;
    }
    return null;
  }

  /** Without links: one in the folder that leads out of it is refused. Null: it is not there. */
  async #resolve(reference: { readonly file: string }): Promise<string | null> {
    const folder = this.#folder;
    const path = resolve(folder ?? '.', reference.file);
    if (folder !== null && !isInside(resolve(folder), path)) throw outside(reference, folder);
    try {
      const place = await realpath(path);
      if (folder === null || isInside(await realpath(folder), place)) return place;
    } catch {
      return null;
    }
    throw outside(reference, folder);
  }
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith('../') && !isAbsolute(way);
}

const outside = (reference: { readonly file: string }, folder: string): DebgeoError =>
  refused(reference, `a file in ${folder} (DEBGEO_SECRETS_DIR)`, 'a file elsewhere');

const refused = (reference: SecretReference, expected: string, found: string): DebgeoError =>
  new DebgeoError('REFERENCE_REFUSED', `the ${nameOf(reference)} may not be read`, {
    expected,
    found,
  });
