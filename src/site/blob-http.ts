/**
 * Put Blob and Get Blob by plain HTTP: the two requests that every blob costs, again and again. The
 * layers of the SDK (serializers, policies, copies of headers) cost more than everything else that
 * a copy does; all other requests go through the SDK. Names and signatures are the SDK's: a test
 * compares them.
 */
import { createHmac, createSecretKey } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';

import { StorageSharedKeyCredential } from '@azure/storage-blob';

import { DebgeoError } from '../domain/errors.ts';
import { refuseUpgrade } from '../network/refuse-upgrade.ts';
import { SasToken, type SiteCredential } from './credentials.ts';
import type { Refusal } from './site-error.ts';

/** Of the REST API: what is asked for here has been the same since 2019. */
const VERSION = '2024-11-04';
const SCOPE = 'https://storage.azure.com/.default';

/** An answer that is none of success. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(`HTTP ${refusal.status}`);
    this.refusal = refusal;
  }
}

/** Lower-case names. */
type Headers = Readonly<Record<string, string>>;

/** The header that a request needs, or its path with a signature in it. */
type Authorize = (
  method: string,
  target: string,
  headers: Headers,
  signal: AbortSignal,
) => Promise<{ readonly authorization: string } | { readonly path: string }>;

export class BlobHttp {
  readonly #container: URL;
  readonly #authorize: Authorize;
  readonly #agent: http.Agent;

  /** @param containerUrl without a query */
  constructor(containerUrl: string, credential: SiteCredential, agent: http.Agent) {
    this.#container = new URL(containerUrl);
    this.#authorize = authorizeBy(credential, this.#container.protocol);
    this.#agent = agent;
  }

  /**
   * What goes out for a name; null if it would name anything else than just that blob of this
   * container.
   */
  targetOf(name: string): string | null {
    const segments = name.split('/');
    if (
      !name.isWellFormed() ||
      AMBIGUOUS.test(name) ||
      segments.some((segment) => ['', '.', '..'].includes(segment))
    )
      return null;
    return `${this.#container.pathname}/${segments.map(quote).join('/')}`;
  }

  /**
   * @param target of `targetOf`
   * @param body sent again by the caller: a buffer, or a new stream for each call
   * @returns an answer of success, its body not read yet
   * @throws Refused; what node:http throws
   */
  async send(
    method: 'GET' | 'PUT',
    target: string,
    headers: Headers,
    body: Buffer | (() => Readable) | null,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    const dated = { ...headers, 'x-ms-date': new Date().toUTCString(), 'x-ms-version': VERSION };
    const authorized = await this.#authorize(method, target, dated, signal);
    const { path, ...authorization } = { path: target, ...authorized };
    const options = {
      host: this.#container.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: this.#container.port,
      method,
      path,
      headers: { 'user-agent': 'debgeo', ...dated, ...authorization },
      agent: this.#agent,
    };
    const answer = await exchange(
      this.#container.protocol === 'https:' ? https : http,
      options,
      body,
      signal,
    );
    answer.on('error', () => undefined); // the reader of the body sees it there
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    await discard(answer);
    throw new Refused({
      status,
      code: headerOf(answer, 'x-ms-error-code') ?? '',
      retryAfter: headerOf(answer, 'retry-after'),
    });
  }
}

/**
 * One header of an answer; building the object of all of them costs more than everything that is
 * asked of it.
 */
export function headerOf(
  { rawHeaders }: http.IncomingMessage,
  lowerCaseName: string,
): string | null {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName)
      return rawHeaders[at + 1]!;
  }
  return null;
}

/**
 * Reads an answer to its end, and drops it: its connection is taken until then, and only the signal
 * of the request ends one that never does.
 */
export async function discard(answer: http.IncomingMessage): Promise<void> {
  answer.resume();
  if (!answer.closed) await new Promise((resolve) => answer.once('close', resolve));
}

function authorizeBy(credential: SiteCredential, protocol: string): Authorize {
  if (credential instanceof SasToken)
    return async (_, target) => ({ path: credential.appendTo(target) });
  if (credential instanceof StorageSharedKeyCredential) {
    const { accountName } = credential;
    // private to TypeScript only
    const { accountKey } = credential as unknown as { readonly accountKey: Buffer };
    const key = createSecretKey(accountKey); // once: importing it costs more than a signature
    return async (method, target, headers) => {
      const text = signedText(method, accountName + target, headers);
      const signature = createHmac('sha256', key).update(text).digest('base64');
      return { authorization: `SharedKey ${accountName}:${signature}` };
    };
  }
  return async (_method, _target, _headers, signal) => {
    if (protocol !== 'https:')
      throw new DebgeoError('CONFIG_INVALID', 'an identity is used over https only', {
        expected: 'https:',
        found: protocol,
      });
    const { token } = await credential.getToken(SCOPE, { abortSignal: signal });
    return { authorization: `Bearer ${token}` };
  };
}

/** Azure reads a backslash as a slash; every server reads control characters differently. */
// oxlint-disable-next-line no-control-regex
const AMBIGUOUS = /[\\\u0000-\u001f\u007f]/;

/** encodeURIComponent leaves `'` as it is, the SDK does not. */
const quote = (segment: string): string => encodeURIComponent(segment).replaceAll("'", '%27');

/**
 * In this order, then the x-ms- headers by name, then the resource: "Authorize with Shared Key" of
 * the REST API. No query is ever signed here.
 */
const SIGNED = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'if-modified-since',
  'if-match',
  'if-none-match',
  'if-unmodified-since',
  'range',
];

function signedText(method: string, resource: string, headers: Headers): string {
  const values = SIGNED.map((name) =>
    name === 'content-length' && headers[name] === '0' ? '' : (headers[name] ?? ''),
  );
  const named = Object.keys(headers)
    .filter((name) => name.startsWith('x-ms-'))
    .sort()
    .map((name) => `${name}:${headers[name]}`);
  return [method, ...values, ...named, `/${resource}`].join('\n');
}

function exchange(
  module: typeof http | typeof https,
  options: https.RequestOptions,
  body: Buffer | (() => Readable) | null,
  signal: AbortSignal,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stream = typeof body === 'function' ? body() : null;
    const request = module.request(options, (answer) => {
      // Answered before all was sent: the site does not want the rest, and the connection is of no
      // use any more.
      if (stream !== null && !request.writableEnded) {
        stream.destroy();
        answer.once('close', () => request.destroy());
      }
      resolve(answer);
    });
    request.on('error', (error) => {
      stream?.destroy();
      reject(error);
    });
    refuseUpgrade(request);
    // The option `signal` of Node does the same, at the price of a watcher of streams for each
    // request.
    const end = (): void => void request.destroy(signal.reason as Error);
    signal.addEventListener('abort', end, { once: true });
    request.once('close', () => signal.removeEventListener('abort', end));
    if (stream === null) request.end(body ?? undefined);
    else stream.once('error', (error) => request.destroy(error)).pipe(request);
  });
}
