/**
 * Credentials of a site: where they come from, the forms that they may have, and that no log or
 * error shows them.
 */
import { createHash } from 'node:crypto';

import { StorageSharedKeyCredential } from '@azure/storage-blob';

import { DebgeoError } from '../domain/errors.ts';
import { nameOf, type SecretReference } from '../domain/secret-reference.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { DEFAULT_IDENTITY, Identity } from './identity.ts';
import { assertTokenMayGoTo } from './token-hosts.ts';

/** Never the credential itself: where a secret is, or Azure's default identity. */
export type CredentialReference = SecretReference | { readonly identity: 'default' };

/** What a worker has beside the configuration. */
export interface CredentialSource {
  readonly secrets: Secrets;
  /** Those that a token may go to, beside Azure's (DEBGEO_STORAGE_HOSTS). */
  readonly storageHosts: readonly string[];
}

/** A shared access signature. Private, so that neither a logger nor a serialiser can print it. */
export class SasToken {
  readonly #query: string;

  constructor(query: string) {
    this.#query = query.replace(/^\?/, '');
  }

  appendTo(url: string): string {
    return `${url}?${this.#query}`;
  }
}

export type SiteCredential = StorageSharedKeyCredential | SasToken | Identity;

/**
 * Tells one secret from another without revealing it: a store that was opened with the old one is
 * not used with the new one.
 */
export function fingerprintOf(credential: SiteCredential): string {
  if (credential instanceof Identity) return 'identity';
  if (credential instanceof SasToken)
    return createHash('sha256').update(credential.appendTo('')).digest('hex');
  return credential.computeHMACSHA256(credential.accountName);
}

/**
 * Loads what a reference names: a connection string, `AccountName=…;AccountKey=…`, a SAS token, or
 * an identity, which is asked when it is used.
 * @param accountUrl of the site; of the endpoints in a connection string nothing is used
 * @throws SITE_CREDENTIAL_MISSING the variable or file is not there or empty
 * @throws REFERENCE_REFUSED as Secrets.read
 * @throws SITE_HOST_UNLISTED a token would go to a host that is neither Azure's nor listed
 * @throws CONFIG_INVALID it is none of the three, or for another account than that of accountUrl;
 *   or a token of an identity would go over http
 */
export async function loadCredential(
  reference: CredentialReference,
  accountUrl: string,
  { secrets, storageHosts }: CredentialSource,
): Promise<SiteCredential> {
  if ('identity' in reference) {
    if (new URL(accountUrl).protocol !== 'https:')
      throw new DebgeoError('CONFIG_INVALID', 'an identity is used over https only', {
        expected: 'https',
        found: accountUrl,
      });
    assertTokenMayGoTo(accountUrl, storageHosts);
    return DEFAULT_IDENTITY;
  }
  const place = nameOf(reference);
  const text = (await secrets.read(reference))?.trim();
  if (!text)
    throw new DebgeoError(
      'SITE_CREDENTIAL_MISSING',
      `the ${place} is not there, not readable or empty`,
    );

  const fields = fieldsOf(text);
  const sas = fields.get('SharedAccessSignature') ?? text;
  if (isSas(sas)) {
    assertTokenMayGoTo(accountUrl, storageHosts);
    return new SasToken(sas);
  }

  const name = fields.get('AccountName');
  const key = fields.get('AccountKey');
  if (!name || !key || !/^[A-Za-z0-9+/]+={0,2}$/.test(key)) {
    const expected = 'a connection string, AccountName=…;AccountKey=… or a SAS token';
    throw new DebgeoError('CONFIG_INVALID', `the ${place} does not hold a credential`, {
      expected,
    });
  }
  const account = accountOf(accountUrl);
  if (account !== null && account !== name) {
    throw new DebgeoError('CONFIG_INVALID', `the ${place} is for another account`, {
      expected: account,
      found: name,
    });
  }
  return withoutShowing(new StorageSharedKeyCredential(name, key));
}

function fieldsOf(text: string): Map<string, string> {
  return new Map(
    text.split(';').map((pair) => {
      const equals = pair.indexOf('=');
      return [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()];
    }),
  );
}

/**
 * The parameters of a SAS come in any order: the portal's begin with sp=, those of the SDK with
 * sv=.
 */
function isSas(text: string): boolean {
  const query = new URLSearchParams(text);
  return query.has('sig') && (query.has('sv') || query.has('?sv'));
}

/**
 * The account that a URL speaks of, null if it does not show (a custom domain). The forms are those
 * that the Azure SDK knows.
 */
function accountOf(accountUrl: string): string | null {
  const url = new URL(accountUrl);
  const labels = url.hostname.split('.');
  if (labels[1] === 'blob') return labels[0]!.replace(/-secondary$/, '');
  const isPathStyle =
    url.hostname === 'localhost' || url.hostname.startsWith('[') || /^[\d.]+$/.test(url.hostname);
  return isPathStyle ? (url.pathname.split('/')[1] ?? null) : null;
}

/** The SDK keeps the key in a plain property that console.log and JSON would print. */
function withoutShowing(credential: StorageSharedKeyCredential): StorageSharedKeyCredential {
  const { accountKey } = credential as unknown as { accountKey: Buffer };
  return Object.defineProperty(credential, 'accountKey', { value: accountKey, enumerable: false });
}
