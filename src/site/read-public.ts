/**
 * A site as apt sees it: anonymous GETs of its public URL, spelled as apt spells them, and nothing
 * else.
 *
 * What a container says that may not be read anonymously: Azure 404 ResourceNotFound (on purpose
 * the same as for a container that does not exist), or 409 PublicAccessNotPermitted if the whole
 * account forbids it; Azurite 403 AuthorizationFailure for both; gateways 401 or 403. A private
 * container on Azure therefore reads as absent: null for a file that is known to exist there means
 * that, too.
 */
import { createHash } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

import { onceMoreAfterReset } from '../domain/connection-reset.ts';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { aptQuote, type RepoPath } from '../domain/repo-path.ts';
import type { Sha256 } from '../domain/sha256.ts';
import { guardedAgents } from '../network/guarded-agents.ts';
import { refuseUpgrade } from '../network/refuse-upgrade.ts';
import { brokenOff, refusalError } from './site-error.ts';
import { Watchdog, type Patience } from './watchdog.ts';

export interface PublicBlob {
  /** bytes */
  readonly size: number;
  readonly sha256: Sha256;
  /** Milliseconds since 1970; null if the answer does not say. */
  readonly lastModified: number | null;
}

const agents = guardedAgents('site');
const kept = {
  'http:': agents('http:', { keepAlive: true }),
  'https:': agents('https:', { keepAlive: true }),
};

/**
 * @param publicUrl denotes the prefix of the site
 * @param path with its mount
 * @param sizeMax bytes: what is known to be right has no more
 * @returns null for 404
 * @throws SITE_NOT_PUBLIC (401, 403, 409), SITE_THROTTLED, SITE_UNREACHABLE, SITE_STALLED;
 *   SITE_REFUSED for a redirect, which is not followed, and any other 4xx; SITE_SERVES_OTHER for
 *   more than sizeMax bytes; ADDRESS_REFUSED
 */
export async function readPublic(
  publicUrl: string,
  path: RepoPath,
  sizeMax: number,
  signal: AbortSignal,
  patience: Patience = LIMITS,
): Promise<PublicBlob | null> {
  const doing = `read ${path} at ${publicUrl} without credentials`;
  const watchdog = new Watchdog(signal, patience, sizeMax);
  try {
    watchdog.wait();
    const answer = await get(new URL(publicUrl), path, watchdog.signal);
    try {
      if (answer.statusCode === 404) return null;
      if (answer.statusCode !== 200) throw refusal(answer, doing);
      return await hashBody(answer, sizeMax, watchdog, doing);
    } finally {
      answer.destroy();
    }
  } catch (error) {
    throw brokenOff(error, watchdog, signal, doing);
  } finally {
    watchdog.end();
  }
}

function get(base: URL, path: RepoPath, signal: AbortSignal): Promise<http.IncomingMessage> {
  const protocol = base.protocol === 'https:' ? 'https:' : 'http:';
  return onceMoreAfterReset(
    () => getOver(kept[protocol], base, path, signal),
    () => getOver(agents(protocol), base, path, signal),
  );
}

/**
 * The path goes out as quoted here: a URL parser in between would spell some characters differently
 * than apt.
 */
function getOver(
  agent: http.Agent,
  base: URL,
  path: RepoPath,
  signal: AbortSignal,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (base.protocol === 'https:' ? https : http).get(
      {
        host: base.hostname.replace(/^\[(.*)\]$/, '$1'),
        port: base.port,
        path: `${base.pathname.replace(/\/+$/, '')}/${aptQuote(path)}`,
        // apt sends this with all but packages, so that caches on the way ask anew.
        headers: { 'user-agent': 'debgeo', 'cache-control': 'max-age=0' },
        agent,
        signal,
      },
      resolve,
    );
    request.on('error', reject);
    refuseUpgrade(request);
  });
}

async function hashBody(
  answer: http.IncomingMessage,
  sizeMax: number,
  watchdog: Watchdog,
  doing: string,
): Promise<PublicBlob> {
  const sha256 = createHash('sha256');
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    watchdog.wait();
    size += chunk.length;
    if (size > sizeMax) {
      throw new DebgeoError('SITE_SERVES_OTHER', `stopped to ${doing}`, {
        expected: `at most ${sizeMax} bytes`,
        found: 'more',
      });
    }
    sha256.update(chunk);
  }
  const lastModified = Date.parse(answer.headers['last-modified'] ?? '');
  return {
    size,
    sha256: sha256.digest('hex') as Sha256,
    lastModified: Number.isNaN(lastModified) ? null : lastModified,
  };
}

function refusal(answer: http.IncomingMessage, doing: string): DebgeoError {
  const status = answer.statusCode ?? 0;
  const code = String(answer.headers['x-ms-error-code'] ?? '');
  if (status === 409)
    return new DebgeoError('SITE_NOT_PUBLIC', `may not ${doing}`, { found: `409 ${code}`.trim() });
  return refusalError(
    { status, code, retryAfter: answer.headers['retry-after'] ?? null },
    doing,
    'SITE_NOT_PUBLIC',
  );
}
