/**
 * The object storage behind a GitLab: another origin, which knows no login and answers a signed URL
 * for as long as it is valid. It answers as S3 does, errors too.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { listen, type Listening } from './gitlab-listen.ts';
import { hashOf } from './release-files.ts';

export interface StoredObject {
  readonly bytes: Uint8Array;
  readonly modifiedMs: number;
}

export interface ObjectStorage extends Listening {
  /** Answered requests. */
  readonly requests: number;
  /** Of them, those that brought a login of somebody: S3 refuses each. */
  readonly logins: number;
  /** A URL of this origin, with its signature and its end in the query. */
  signedUrl(key: string): string;
}

/** Ten minutes, which is what CarrierWave signs unless it is told otherwise. */
const LINK_MS = 600_000;

/**
 * @param find null: no such object
 * @param now in milliseconds
 */
export async function startObjectStorage(
  find: (key: string) => StoredObject | null,
  now: () => number,
): Promise<ObjectStorage> {
  const secret = randomBytes(32);
  let requests = 0;
  let logins = 0;
  const sign = (key: string, expires: number): string =>
    createHmac('sha256', secret).update(`GET\n${key}\n${expires}`).digest('hex');
  const server = await listen((request, response) => {
    requests += 1;
    if (request.headers.authorization !== undefined) logins += 1;
    answer(request, response);
  });

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', server.url);
    const key = decodeURIComponent(url.pathname.slice(1));
    const expires = Number(url.searchParams.get('X-Expires'));
    const isSigned = isSame(url.searchParams.get('X-Signature') ?? '', sign(key, expires));
    if (request.headers.authorization !== undefined)
      return refuse(response, 400, 'InvalidArgument', 'Only one auth mechanism allowed');
    if (request.method !== 'GET' || !isSigned)
      return refuse(response, 403, 'SignatureDoesNotMatch', 'The signature does not match');
    if (expires < now()) return refuse(response, 403, 'AccessDenied', 'Request has expired');
    const found = find(key);
    if (found === null) return refuse(response, 404, 'NoSuchKey', 'The key does not exist');
    const etag = `"${hashOf('MD5Sum', found.bytes)}"`;
    response.setHeader('ETag', etag);
    response.setHeader('Last-Modified', new Date(found.modifiedMs).toUTCString());
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end();
    response.setHeader('Content-Length', found.bytes.length);
    response.end(found.bytes);
  }

  return {
    ...server,
    get requests() {
      return requests;
    },
    get logins() {
      return logins;
    },
    signedUrl(key) {
      const expires = now() + LINK_MS;
      const path = key.split('/').map(encodeURIComponent).join('/');
      return `${server.url}/${path}?X-Expires=${expires}&X-Signature=${sign(key, expires)}`;
    },
  };
}

const isSame = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<Error><Code>${code}</Code><Message>${message}</Message></Error>`);
}
