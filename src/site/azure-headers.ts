/** What a blob is written with, and what an answer says of one. Pure. */
import type { IncomingMessage } from 'node:http';

import type { BlobHTTPHeaders } from '@azure/storage-blob';

import { DebgeoError } from '../domain/errors.ts';
import { headerOf } from './blob-http.ts';
import type { Doing } from './site-error.ts';
import type { BlobContent, Expected, Written } from './site-store.ts';

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

export function putHeaders(content: BlobContent, md5: Uint8Array): Record<string, string> {
  return {
    'content-length': String(content.size),
    'content-md5': base64(md5),
    'content-type': 'application/octet-stream',
    'x-ms-blob-type': 'BlockBlob',
    'x-ms-blob-content-type': content.contentType,
    'x-ms-blob-cache-control': content.cacheControl,
    'x-ms-blob-content-md5': base64(md5),
    // For people and other programs; debgeo itself reads bytes.
    'x-ms-meta-sha256': content.sha256,
  };
}

export const conditionOf = (expected: Expected): Record<string, string> =>
  expected === 'nothing' ? { 'if-none-match': '*' } : { 'if-match': expected.etag };

/** As `putHeaders` and `conditionOf`, for the SDK. */
export function commitOptions(content: BlobContent, expected: Expected, md5: Uint8Array) {
  const blobHTTPHeaders: BlobHTTPHeaders = {
    blobContentType: content.contentType,
    blobCacheControl: content.cacheControl,
    blobContentMD5: md5,
  };
  return {
    blobHTTPHeaders,
    metadata: { sha256: content.sha256 },
    conditions: expected === 'nothing' ? { ifNoneMatch: '*' } : { ifMatch: expected.etag },
  };
}

export function writtenOf(
  answer: { etag?: string; lastModified?: Date; date?: Date },
  doing: Doing,
): Written {
  if (answer.etag === undefined || answer.lastModified === undefined) throw incomplete(doing);
  return {
    etag: answer.etag,
    lastModified: answer.lastModified.getTime(),
    siteClock: (answer.date ?? answer.lastModified).getTime(),
  };
}

export function headOf(answer: IncomingMessage): {
  etag?: string;
  lastModified?: Date;
  date?: Date;
  size?: number;
} {
  const etag = headerOf(answer, 'etag');
  const lastModified = dateOf(headerOf(answer, 'last-modified'));
  const date = dateOf(headerOf(answer, 'date'));
  const size = headerOf(answer, 'content-length');
  return {
    ...(etag === null ? {} : { etag }),
    ...(lastModified === null ? {} : { lastModified }),
    ...(date === null ? {} : { date }),
    ...(size === null || !/^\d+$/.test(size) ? {} : { size: Number(size) }),
  };
}

function dateOf(text: string | null): Date | null {
  const ms = text === null ? NaN : Date.parse(text);
  return Number.isNaN(ms) ? null : new Date(ms);
}

export const incomplete = (doing: Doing) =>
  new DebgeoError('SITE_UNREACHABLE', `cannot ${doing}: the answer is not that of a blob store`, {
    expected: 'ETag and Last-Modified',
  });
