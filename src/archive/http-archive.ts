/**
 * An archive behind HTTP or HTTPS.
 *
 * Node's own client, and not fetch: a path goes out byte for byte as apt quotes it (a URL parser
 * would resolve `%2e`), redirects are judged here, nothing is decoded on the way, and each wait has
 * its own end. A file that breaks off never looks like a whole one.
 */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

import { isReset, onceMoreAfterReset } from '../domain/connection-reset.ts';
import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { aptQuote, type RepoPath } from '../domain/repo-path.ts';
import type { Validator } from '../domain/snapshot.ts';
import { type Agents, guardedAgents } from '../network/guarded-agents.ts';
import { refuseUpgrade } from '../network/refuse-upgrade.ts';
import {
  aborted,
  failed,
  refusalError,
  throwIfAborted,
  tooLarge,
  unreachable,
} from './archive-error.ts';
import { parseRoot, printed } from './archive-url.ts';
import type { Archive } from './archive.ts';
import { discard, giveUp, type HttpArchiveLimits, readBody } from './http-answer.ts';
import { askedAs, type Login } from './login.ts';
import { NO_PROXIES, OriginAgents, type Proxies } from './origin-agents.ts';
import { fetchReleaseSet, hintOf } from './release-set.ts';

/** `place`: where it came from, to be printed. */
type Fetched = { readonly answer: http.IncomingMessage; readonly place: string };

/** Status codes by what they mean for us (RFC 9110 §15). */
const ABSENT = [404, 410];
/** The answer has no body, and so the file no byte: GitLab says so of an index without packages. */
const NO_CONTENT = 204;
const REDIRECTED = [301, 302, 303, 307, 308];

/**
 * @param options.url root of the archive: http or https, without credentials, query and fragment
 * @param options.redirectOrigins origins besides that of `url` that a redirect may lead to
 *   (`https://cdn.example.org`)
 * @param options.as the login; it goes to the origin of `url`, and to no other
 * @param options.ca certificates that are trusted beside those of Node, PEM
 * @param options.proxies through which archives are asked
 * @param options.privateNetwork it, and where it redirects to, may have a private address
 * @param options.agents a test has its own
 * @throws CONFIG_INVALID a URL that is none of that
 */
export function createHttpArchive(options: {
  readonly url: string;
  readonly redirectOrigins: readonly string[];
  readonly as?: Login | null;
  readonly ca?: Uint8Array | null;
  readonly proxies?: Proxies;
  readonly privateNetwork: boolean;
  readonly limits?: Partial<HttpArchiveLimits>;
  readonly agents?: Agents;
}): Archive {
  const { as: login = null, ca = null, proxies = NO_PROXIES } = options;
  const root = parseRoot(options.url);
  const origins = new Set([
    root.origin,
    ...options.redirectOrigins.map((origin) => parseRoot(origin).origin),
  ]);
  const limits = { ...LIMITS, rateWindowMs: 60_000, ...options.limits };
  const reach = options.privateNetwork ? 'private-network' : 'internet';
  const create = options.agents ?? guardedAgents(reach);
  const agents = new OriginAgents({ create, ca, login, proxies, answerMs: limits.answerMs });
  return new HttpArchive(root, origins, login, agents, limits);
}

class HttpArchive implements Archive {
  readonly #root: URL;
  readonly #origins: ReadonlySet<string>;
  readonly #login: Login | null;
  readonly #agents: OriginAgents;
  readonly #limits: HttpArchiveLimits;

  constructor(
    root: URL,
    origins: ReadonlySet<string>,
    login: Login | null,
    agents: OriginAgents,
    limits: HttpArchiveLimits,
  ) {
    this.#root = root;
    this.#origins = origins;
    this.#login = login;
    this.#agents = agents;
    this.#limits = limits;
  }

  fetchReleaseSet(suiteFolder: string, validator: Validator | null, signal: AbortSignal) {
    const wanted = {
      root: printed(this.#root),
      suiteFolder,
      validator,
      fetchMs: this.#limits.fetchMs,
      absent: hintOf(this.#root),
    };
    return fetchReleaseSet((path, known, until) => this.#fetch(path, known, until), wanted, signal);
  }

  async #fetch(path: RepoPath, validator: Validator | null, signal: AbortSignal) {
    const { answer, place } = await this.#get(path, conditions(validator), signal);
    if (answer.statusCode === 304 && validator !== null) {
      await discard(answer, this.#limits);
      return 'unchanged';
    }
    if (ABSENT.includes(answer.statusCode ?? 0)) {
      await discard(answer, this.#limits);
      return null;
    }
    const body = this.#body({ answer, place }, this.#limits.releaseBytes, signal);
    const bytes = Buffer.concat(await Array.fromAsync(body));
    return {
      bytes,
      validator: {
        etag: answer.headers.etag ?? null,
        lastModified: settledTime(answer.headers),
      },
    };
  }

  async open(
    path: RepoPath,
    sizeMax: number,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array> | null> {
    const fetched = await this.#get(path, {}, signal, sizeMax === 0);
    if (!ABSENT.includes(fetched.answer.statusCode ?? 0))
      return this.#body(fetched, sizeMax, signal);
    await discard(fetched.answer, this.#limits);
    return null;
  }

  close(): Promise<void> {
    this.#agents.close();
    return Promise.resolve();
  }

  /**
   * Answers with 200, 304, 404 or 410; everything else is thrown.
   * @param mayBeEmpty 204 is an answer, too: the file is listed with size 0
   */
  async #get(
    path: RepoPath,
    headers: Record<string, string>,
    signal: AbortSignal,
    mayBeEmpty = false,
  ): Promise<Fetched> {
    let url = this.#root;
    let target = `${url.pathname.replace(/\/$/, '')}/${aptQuote(path)}`;
    for (let redirects = 0; ; redirects += 1) {
      const place = printed(url, target);
      const answer = await this.#request(url, target, headers, signal);
      const status = answer.statusCode ?? 0;
      if (
        status === 200 ||
        (status === NO_CONTENT && mayBeEmpty) ||
        (status === 304 && Object.keys(headers).length > 0) ||
        ABSENT.includes(status)
      )
        return { answer, place };
      await discard(answer, this.#limits);
      if (!REDIRECTED.includes(status))
        throw refusalError(
          { place, login: askedAs(this.#login, url) },
          status,
          answer.headers['retry-after'],
          this.#limits.retryAfterMs,
        );
      if (redirects === this.#limits.redirects) {
        throw new DebgeoError('ARCHIVE_REDIRECT', `${place} redirects too often`, {
          expected: `at most ${redirects} redirects`,
        });
      }
      url = this.#redirected(url, target, answer.headers.location);
      target = url.pathname + url.search;
    }
  }

  /** The one place where a URL is resolved: a redirect may name a relative one. */
  #redirected(from: URL, target: string, location: string | undefined): URL {
    const allowed = [...this.#origins].join(', ');
    const place = printed(from, target);
    const to = location === undefined ? null : URL.parse(location, from.origin + target);
    if (to === null)
      throw new DebgeoError('ARCHIVE_REDIRECT', `${place} redirects to nowhere`, {
        expected: allowed,
        found: 'no place',
      });
    if (this.#origins.has(to.origin) && to.username === '' && to.password === '') return to;
    throw new DebgeoError('ARCHIVE_REDIRECT', `${place} redirects to another origin`, {
      expected: allowed,
      found: printed(to),
    });
  }

  /** The head of one answer. */
  async #request(
    url: URL,
    target: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    const request = (agent: http.Agent) => {
      throwIfAborted(signal);
      const module = url.protocol === 'https:' ? https : http;
      const host = url.hostname.replace(/^\[|\]$/g, '');
      return module.get({
        host,
        port: url.port,
        path: target,
        agent,
        headers: {
          host: url.host,
          'accept-encoding': 'identity',
          'user-agent': 'debgeo',
          ...headers,
          ...this.#login?.headersFor(url),
        },
      });
    };
    return onceMoreAfterReset(
      () => this.#head(request(this.#agents.kept(url)), printed(url, target), signal),
      () => this.#head(request(this.#agents.fresh(url)), printed(url, target), signal),
    );
  }

  /** @throws ARCHIVE_UNREACHABLE, ADDRESS_REFUSED; the reset of a kept connection as it is */
  async #head(
    request: http.ClientRequest,
    place: string,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    const late = () => giveUp(request, new Error(`no answer within ${this.#limits.answerMs} ms`));
    const timer = setTimeout(late, this.#limits.answerMs);
    // The option `signal` of Node does the same, at the price of a watcher of streams for each
    // request.
    const end = () => giveUp(request, aborted(signal));
    signal.addEventListener('abort', end, { once: true });
    request.once('close', () => signal.removeEventListener('abort', end));
    // The head and a broken body may come in one packet: both need a listener before the body is
    // read. Its reader sees the error.
    request.on('error', () => {});
    refuseUpgrade(request);
    request.on('response', (answer) => answer.on('error', () => {}));
    try {
      const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
      return answer;
    } catch (error) {
      throwIfAborted(signal);
      if (error instanceof DebgeoError || (request.reusedSocket && isReset(error))) throw error;
      throw failed(place, error);
    } finally {
      clearTimeout(timer);
    }
  }

  #body(
    { answer, place }: Fetched,
    sizeMax: number,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array> {
    const announced = answer.headers['content-length'];
    if (announced !== undefined && Number(announced) > sizeMax) {
      answer.destroy();
      throw tooLarge(place, sizeMax, announced);
    }
    const stalled = () =>
      void answer.destroy(unreachable(place, `no byte for ${this.#limits.stallMs} ms`));
    // A body that the caller never begins to read must not hold a connection for ever.
    const unread = setTimeout(stalled, this.#limits.stallMs);
    answer.once('close', () => clearTimeout(unread));
    return readBody(answer, stalled, unread, place, sizeMax, this.#limits, signal);
  }
}

/**
 * Last-Modified, unless the file may change once more within the second that it names: "at least
 * one second earlier" than Date (RFC 9110 §8.8.2.2). GitLab's own disk has no ETag.
 */
function settledTime({ date, 'last-modified': modified }: http.IncomingHttpHeaders): string | null {
  if (modified === undefined) return null;
  return Date.parse(date ?? '') - Date.parse(modified) >= 1000 ? modified : null;
}

function conditions(validator: Validator | null): Record<string, string> {
  return {
    ...(validator?.etag ? { 'if-none-match': validator.etag } : {}),
    ...(validator?.lastModified ? { 'if-modified-since': validator.lastModified } : {}),
  };
}
