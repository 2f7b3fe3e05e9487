/**
 * The login of an archive with its secrets, as it goes out: headers, or a certificate. What it
 * holds is private, so that neither a logger nor a serialiser can print it.
 */
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';

import {
  faultsOfLogin,
  mayGoTo,
  nameOfLogin,
  secretsOf,
  type ArchiveLogin,
  type LoginPlace,
} from '../domain/archive-login.ts';
import { DebgeoError } from '../domain/errors.ts';
import { nameOf, type SecretReference } from '../domain/secret-reference.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { certificatesIn } from './certificates.ts';

/** PEM, both. */
interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

interface Sent {
  readonly headers: Readonly<Record<string, string>>;
  readonly certificate: ClientCertificate | null;
}

export class Login {
  readonly #sent: Sent;
  readonly #place: LoginPlace;
  /** What it refers to: `variable DEBGEO_GITLAB_TOKEN`. */
  readonly name: string;

  constructor(sent: Sent, place: LoginPlace, name: string) {
    this.#sent = sent;
    this.#place = place;
    this.name = name;
  }

  /** False also of what the archive redirects to. */
  goesTo(url: URL): boolean {
    return mayGoTo(url, this.#place);
  }

  headersFor(url: URL): Readonly<Record<string, string>> {
    return this.goesTo(url) ? this.#sent.headers : {};
  }

  certificateFor(url: URL): ClientCertificate | null {
    return this.goesTo(url) ? this.#sent.certificate : null;
  }

  /** Tells one secret from another without revealing it. */
  get fingerprint(): string {
    return createHash('sha256').update(JSON.stringify(this.#sent)).digest('hex');
  }
}

/** As a message says it. */
export function askedAs(login: Login | null, url: URL): string {
  if (login === null) return 'asked without a login';
  return login.goesTo(url)
    ? `asked with the login of ${login.name}`
    : 'asked without the login, which goes to the origin of `url` only';
}

/**
 * Reads what a login names.
 * @throws ARCHIVE_LOGIN_MISSING a variable or file is not there or empty
 * @throws REFERENCE_REFUSED as Secrets.read
 * @throws CONFIG_INVALID the login may not go to the archive, or a secret is none of its kind
 */
export async function loadLogin(
  login: ArchiveLogin,
  place: LoginPlace,
  secrets: Secrets,
): Promise<Login> {
  const faults = faultsOfLogin(login, place);
  if (faults.length > 0)
    throw new DebgeoError('CONFIG_INVALID', `the login for ${new URL(place.url).origin} is wrong`, {
      found: faults.map(({ path, message }) => `${['login', ...path].join('.')}: ${message}`),
    });
  const texts = new Map<SecretReference, string>();
  for (const [, reference] of secretsOf(login))
    texts.set(reference, await readSecret(reference, secrets));
  return new Login(
    sentOf(login, (one) => texts.get(one)!),
    place,
    nameOfLogin(login),
  );
}

async function readSecret(reference: SecretReference, secrets: Secrets): Promise<string> {
  // An editor ends the last line of a file; no secret ends in a line break.
  const text = (await secrets.read(reference))?.replace(/\r?\n$/, '');
  if (text) return text;
  throw new DebgeoError(
    'ARCHIVE_LOGIN_MISSING',
    `the ${nameOf(reference)} is not there, not readable or empty`,
  );
}

function sentOf(login: ArchiveLogin, textOf: (reference: SecretReference) => string): Sent {
  if ('client_certificate' in login) {
    const pair = { cert: textOf(login.client_certificate), key: textOf(login.key) };
    assertPair(pair, login);
    return { headers: {}, certificate: pair };
  }
  if ('password' in login) {
    const password = textOf(login.password);
    // RFC 7617, 2: neither has a control character; both are UTF-8.
    assertForm(!/\p{Cc}/u.test(password), login.password, 'a password without control characters');
    const both = Buffer.from(`${login.user}:${password}`).toString('base64');
    return { headers: { authorization: `Basic ${both}` }, certificate: null };
  }
  if ('bearer' in login) {
    const token = textOf(login.bearer);
    // RFC 6750, 2.1: b64token
    assertForm(/^[\w\-.~+/]+=*$/.test(token), login.bearer, 'a bearer token (RFC 6750)');
    return { headers: { authorization: `Bearer ${token}` }, certificate: null };
  }
  const headers: Record<string, string> = {};
  for (const [name, reference] of Object.entries(login.headers)) {
    const value = textOf(reference);
    // RFC 9110, 5.5: what every server reads alike
    const isValue = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/.test(value);
    assertForm(
      isValue,
      reference,
      'the value of a header: one line of ASCII, without blanks around',
    );
    headers[name.toLowerCase()] = value;
  }
  return { headers, certificate: null };
}

function assertForm(isRight: boolean, reference: SecretReference, expected: string): void {
  if (isRight) return;
  throw new DebgeoError('CONFIG_INVALID', `the ${nameOf(reference)} is not fit for a login`, {
    expected,
    found: 'something else (not shown)',
  });
}

/** An error of OpenSSL is no cause here: nobody promises what it quotes. */
function assertPair(
  { cert, key }: ClientCertificate,
  login: { readonly client_certificate: SecretReference; readonly key: SecretReference },
): void {
  const certificates = certificatesIn(cert);
  assertForm(certificates !== null, login.client_certificate, 'a certificate, PEM');
  let isKey = false;
  let isPair = false;
  try {
    const privateKey = createPrivateKey(key);
    isKey = true;
    isPair = new X509Certificate(certificates![0]!).checkPrivateKey(privateKey);
  } catch {
    // It is no key; the errors below say so.
  }
  assertForm(isKey, login.key, 'a private key, PEM, without a passphrase');
  assertForm(
    isPair,
    login.key,
    `the key of the certificate in ${nameOf(login.client_certificate)}`,
  );
}
