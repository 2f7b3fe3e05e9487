/**
 * The Debian package registry of a self-managed GitLab over HTTP, as far as a client, an operator
 * with curl and a replication ask it. What it answers was read from gitlabhq, and each rule names
 * its file there; it was never compared with a running GitLab.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { judgeAccess, REALM } from './gitlab-access.ts';
import { answerApi } from './gitlab-api.ts';
import {
  fileAt,
  NOT_FOUND,
  type FoundFile,
  type FoundText,
  type NotFound,
  type Stored,
} from './gitlab-files.ts';
import { listen } from './gitlab-listen.ts';
import { GitLabRegistry, type Container } from './gitlab-registry.ts';
import { startObjectStorage, type ObjectStorage, type StoredObject } from './gitlab-storage.ts';

export interface GitLabOptions {
  /** In milliseconds. */
  readonly now?: () => number;
  /** How long after a change the generation comes; null: when the registry is told to. */
  readonly generationAfterMs: number | null;
  /** In object storage; the rest is on GitLab's own disk. Default: all of it. */
  readonly stored?: readonly Stored[];
}

export interface GitLab {
  readonly url: string;
  readonly storage: ObjectStorage;
  readonly registry: GitLabRegistry;
  /** Feature flags; in a new GitLab both are off. */
  readonly features: { debian_packages: boolean; debian_group_packages: boolean };
  /** Seconds that everybody is asked to wait; null: nobody is. */
  retryAfter: number | null;
  /** What was answered, in its order. */
  readonly requests: readonly AnsweredRequest[];
  /** Awaited before a request is answered. */
  beforeAnswer: (path: string) => Promise<void>;
  /** What goes into sources.list, and is the `url` of an archive. */
  archiveUrl(container: Container, by?: 'id' | 'path'): string;
  close(): Promise<void>;
}

export interface AnsweredRequest {
  readonly path: string;
  readonly status: number;
  readonly hasLogin: boolean;
}

const MESSAGES = { 401: '401 Unauthorized', 403: '403 Forbidden', 404: '404 Not Found' };

export async function startGitLab(options: GitLabOptions): Promise<GitLab> {
  const { now = Date.now, generationAfterMs, stored = ['indices', 'releases', 'pool'] } = options;
  const registry = new GitLabRegistry(now, generationAfterMs);
  const storage = await startObjectStorage((key) => objectOf(registry, key), now);
  const requests: AnsweredRequest[] = [];
  const server = await listen((request, response) => {
    answerRequest(request, response).catch(() => response.destroy());
  });
  const gitlab: GitLab = {
    url: server.url,
    storage,
    registry,
    features: { debian_packages: true, debian_group_packages: true },
    retryAfter: null,
    requests,
    beforeAnswer: async () => {},
    archiveUrl({ isGroup, id, path }, by = 'id') {
      const name = by === 'id' ? String(id) : encodeURIComponent(path);
      const place = isGroup ? `groups/${name}/-/packages` : `projects/${name}/packages`;
      return `${server.url}/api/v4/${place}/debian`;
    },
    async close() {
      await server.close();
      await registry.close();
      await storage.close();
    },
  };

  async function answerRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').replace(/\?.*$/s, '');
    await gitlab.beforeAnswer(path);
    const hasLogin = request.headers.authorization !== undefined;
    response.once('finish', () => requests.push({ path, status: response.statusCode, hasLogin }));
    // Rack::Attack comes before everything else (config/initializers/rack_attack.rb).
    if (gitlab.retryAfter !== null) {
      response.writeHead(429, { 'retry-after': String(gitlab.retryAfter) });
      return void response.end('Retry later\n');
    }
    const { container, answer } = await answerTo(gitlab, request, path);
    if ('bytes' in answer && container !== null && stored.includes(answer.stored))
      redirect(response, storage.signedUrl(`${keyOf(container)}/${answer.key}`));
    else send(request, response, answer);
  }

  return gitlab;
}

const keyOf = ({ isGroup, id }: Container): string => `${isGroup ? 'group' : 'project'}-${id}`;

/** What a row of GitLab does not name any more is not in its storage either. */
function objectOf(registry: GitLabRegistry, key: string): StoredObject | null {
  const [, kind, id, path] = /^(group|project)-(\d+)\/(.*)$/s.exec(key) ?? [];
  const container = registry.find(kind === 'group', id ?? '');
  const found = container === null ? NOT_FOUND : fileAt(container, path ?? '');
  return 'bytes' in found ? found : null;
}

const ROUTE =
  /^\/api\/v4\/(projects|groups)\/([^/]+)\/(-\/)?(packages\/debian|packages|debian_distributions|deploy_tokens)(?:\/(.*))?$/s;

/**
 * Access is judged before the feature flag (`after_validation` of `debian_project_packages.rb`): a
 * private project asks for a login also where the registry is off.
 */
async function answerTo(
  gitlab: GitLab,
  request: IncomingMessage,
  path: string,
): Promise<{ container: Container | null; answer: FoundFile | FoundText | NotFound }> {
  const [, kind, id, dash, place, rest = ''] = ROUTE.exec(path) ?? [];
  const isGroup = kind === 'groups';
  if (id === undefined || place === undefined || (dash !== undefined) !== isGroup)
    return { container: null, answer: NOT_FOUND };
  const container = gitlab.registry.find(isGroup, decodeURIComponent(id));
  const isOfRegistry = place === 'packages/debian';
  const { authorization } = request.headers;
  const header = isOfRegistry ? undefined : tokenHeaderOf(request);
  const method = request.method ?? 'GET';
  const isRead = method === 'GET' || method === 'HEAD';
  // `unauthorized_or! { not_found! } unless project`
  const visibility = isRead ? (container?.visibility ?? 'private') : 'private';
  const access = judgeAccess(visibility, container?.tokens ?? [], { authorization, header });
  if (access !== 200) return { container, answer: { status: access, message: MESSAGES[access] } };
  const flag = isGroup ? 'debian_group_packages' : 'debian_packages';
  if (container === null || !gitlab.features[flag]) return { container, answer: NOT_FOUND };

  const below = decodeURIComponent(rest);
  if (isOfRegistry && isRead) return { container, answer: fileAt(container, below) };
  const parameters = new URL(request.url ?? '', 'http://gitlab').searchParams;
  const body = Buffer.concat(await request.toArray());
  const asked = { method, place, below, parameters, body };
  return { container, answer: await answerApi(gitlab.registry, container, asked) };
}

/** For the API of distributions (doc/user/packages/debian_repository). */
function tokenHeaderOf({ headers }: IncomingMessage): string | undefined {
  const found = ['private-token', 'deploy-token', 'job-token'].map((name) => headers[name]);
  return found.find((value) => typeof value === 'string');
}

/** `present_carrierwave_file!` with direct download (`lib/api/helpers.rb`). */
function redirect(response: ServerResponse, url: string): void {
  response.writeHead(302, { location: url, 'content-type': 'text/plain' });
  response.end(`This resource has been moved temporarily to ${url}.\n`);
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: FoundFile | FoundText | NotFound,
): void {
  response.statusCode = answer.status;
  if (answer.status === 401) response.setHeader('WWW-Authenticate', REALM);
  if ('bytes' in answer) return sendFile(request, response, answer);
  if ('text' in answer) {
    response.setHeader('Content-Type', answer.type);
    return void response.end(answer.text);
  }
  const { message } = answer;
  response.end(message === undefined ? undefined : JSON.stringify({ message }));
}

/** Workhorse sends a file of its own disk: with a time of whole seconds, and without an ETag. */
function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  { bytes, modifiedMs }: FoundFile,
): void {
  const modified = Math.floor(modifiedMs / 1000) * 1000;
  response.setHeader('Last-Modified', new Date(modified).toUTCString());
  const since = Date.parse(request.headers['if-modified-since'] ?? '');
  if (since >= modified) return void response.writeHead(304).end();
  response.setHeader('Content-Type', 'application/octet-stream');
  response.setHeader('Content-Length', bytes.length);
  response.end(request.method === 'HEAD' ? undefined : bytes);
}
