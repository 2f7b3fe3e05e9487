/** An archive by itself: the files that it names, and what may not stand beside its URL. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { certificatesIn } from '../archive/certificates.ts';
import { faultsOfLogin, secretsOf } from '../domain/archive-login.ts';
import { LIMITS } from '../domain/limits.ts';
import { faultOfVariable, type SecretReference } from '../domain/secret-reference.ts';
import type { Tell } from './configuration-faults.ts';
import type { ArchiveEntry } from './configuration-schema.ts';
import { readBounded } from './read-bounded.ts';

/** Reads its keyring and certificates, from `folder`. @returns null: it names none */
export function readArchiveFiles(
  { keyring, ca }: Pick<ArchiveEntry, 'keyring' | 'ca'>,
  folder: string,
  tell: Tell,
): { readonly keyring: Uint8Array | null; readonly ca: Uint8Array | null } {
  const read = (
    name: string,
    path: string | undefined,
    from: (path: string) => Uint8Array,
  ): Uint8Array | null => {
    if (path === undefined) return null;
    try {
      return from(resolve(folder, path));
    } catch (error) {
      tell([name], `${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
      return null;
    }
  };
  const certificates = read('ca', ca, (path) => readBounded(path, LIMITS.caBytes));
  if (certificates !== null) judgeCertificates(certificates, tell);
  return { keyring: read('keyring', keyring, (path) => readFileSync(path)), ca: certificates };
}

function judgeCertificates(bytes: Uint8Array, tell: Tell): void {
  if (bytes.length > LIMITS.caBytes)
    tell(['ca'], `is larger than ${LIMITS.caBytes} bytes: name those of this archive alone`);
  else if (certificatesIn(Buffer.from(bytes).toString()) === null)
    tell(['ca'], 'has no certificate (PEM), or a broken one');
}

export function judgeArchive(entry: ArchiveEntry, tell: Tell): void {
  if ((entry.keyring === undefined) === (entry.unsigned === undefined))
    tell([], 'either a keyring, or unsigned: true on purpose');
  if (entry.url.startsWith('file:')) {
    if (entry.redirect_origins.length > 0) tell(['redirect_origins'], 'a folder redirects nowhere');
    if (entry.ca !== undefined) tell(['ca'], 'a folder has no certificate');
  }
  const { login } = entry;
  if (login === undefined) return;
  for (const [path, secret] of secretsOf(login)) judgeReference(secret, ['login', ...path], tell);
  const place = { ...entry, privateNetwork: entry.private_network };
  for (const { path, message } of faultsOfLogin(login, place)) tell(['login', ...path], message);
}

/** Files are judged where they are: the worker may run elsewhere. */
export function judgeReference(
  reference: SecretReference,
  path: readonly string[],
  tell: Tell,
): void {
  const fault = 'env' in reference ? faultOfVariable(reference.env) : null;
  if (fault !== null) tell([...path, 'env'], fault);
}
