/**
 * The connections of one archive. Each origin has its own: what an origin is shown (a certificate
 * of the client) is shown to no other that the archive redirects to.
 */
import type http from 'node:http';
import type { Socket } from 'node:net';
import tls from 'node:tls';

import { DebgeoError } from '../domain/errors.ts';
import { isLoopback } from '../domain/loopback.ts';
import type { Agents } from '../network/guarded-agents.ts';
import { certificatesIn } from './certificates.ts';
import type { Login } from './login.ts';

/** As the environment names them; null: none. */
export interface Proxies {
  /** `http://user:password@host:port`, for archives with http and with https. */
  readonly HTTP_PROXY: string | null;
  readonly HTTPS_PROXY: string | null;
  /** Hosts that are asked straight. */
  readonly NO_PROXY: string | null;
}

export const NO_PROXIES: Proxies = { HTTP_PROXY: null, HTTPS_PROXY: null, NO_PROXY: null };

interface AgentOptions {
  /** Judges what is dialled: of a host behind a proxy, an address that stands in its URL. */
  readonly create: Agents;
  /** Certificates that are trusted beside those of Node, PEM. */
  readonly ca: Uint8Array | null;
  readonly login: Login | null;
  readonly proxies: Proxies;
  /** How long a tunnel may take, with the TLS inside of it. */
  readonly answerMs: number;
}

export class OriginAgents {
  readonly #options: AgentOptions;
  readonly #kept = new Map<string, http.Agent>();
  readonly #trust = new Map<string, tls.SecureContext | null>();

  #isClosed = false;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** Keeps its connections. */
  kept(url: URL): http.Agent {
    const known = this.#kept.get(url.origin) ?? this.#create(url, { keepAlive: !this.#isClosed });
    this.#kept.set(url.origin, known);
    return known;
  }

  /** Opens a connection, and the same way: for a request that a kept one did not take. */
  fresh(url: URL): http.Agent {
    return this.#create(url, {});
  }

  /**
   * Frees the connections that rest; the others end with what is being read, and with what is asked
   * for later by whoever holds the archive still.
   */
  close(): void {
    this.#isClosed = true;
    for (const agent of this.#kept.values()) {
      agent.maxFreeSockets = 0;
      for (const resting of Object.values(agent.freeSockets).flat()) resting?.destroy();
    }
  }

  #create(url: URL, keeping: http.AgentOptions): http.Agent {
    const options = { ...keeping, ...this.#wayTo(url) };
    const secureContext = url.protocol === 'https:' ? this.#trustFor(url) : null;
    const agent = this.#options.create(url.protocol, {
      ...options,
      ...(secureContext && { secureContext }),
    });
    if (options.proxyEnv !== undefined) endTunnels(agent, this.#options.answerMs);
    return agent;
  }

  /** No proxy leads to this machine: a login that may go there over http would cross a network. */
  #wayTo(url: URL): http.AgentOptions {
    const { proxies } = this.#options;
    const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
    const proxy = proxies[name];
    if (proxy === null || isLoopback(url)) return {};
    const proxyEnv = { [name]: proxy, ...(proxies.NO_PROXY && { NO_PROXY: proxies.NO_PROXY }) };
    return { proxyEnv };
  }

  #trustFor(url: URL): tls.SecureContext | null {
    const known = this.#trust.get(url.origin);
    const found = known === undefined ? this.#createTrust(url) : known;
    this.#trust.set(url.origin, found);
    return found;
  }

  /**
   * Null: what Node trusts, and shown nothing.
   * @throws CONFIG_INVALID OpenSSL shows no such certificate: its key or hash is too weak, say
   */
  #createTrust(url: URL): tls.SecureContext | null {
    const { ca, login } = this.#options;
    const certificate = login?.certificateFor(url) ?? null;
    if (ca === null && certificate === null) return null;
    const ours = ca === null ? [] : (certificatesIn(Buffer.from(ca).toString()) ?? []);
    try {
      return tls.createSecureContext({
        ca: [...tls.getCACertificates('default'), ...ours],
        ...certificate,
      });
    } catch (error) {
      // As in login.ts, its code and not what it quotes.
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
      throw new DebgeoError(
        'CONFIG_INVALID',
        `OpenSSL does not take ${certificate === null ? 'the certificates of `ca`' : login!.name}`,
        { expected: 'keys and hashes of today: RSA of 2048 bits, SHA-2', found: code },
      );
    }
  }
}

/**
 * Ends each tunnel that does not stand in time. Its request has no connection until then, and so
 * cannot end it; Node measures only how long the proxy is silent, and not at all how long the TLS
 * behind it takes: an archive that says nothing there would be waited for without an end.
 */
function endTunnels(agent: http.Agent, ms: number): void {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (to, done) => {
    const timer = setTimeout(() => {
      // The agent holds what leads to a host straight, or to the proxy without a tunnel.
      const held = [agent.sockets, agent.freeSockets].flatMap((pool) => Object.values(pool).flat());
      if (socket != null && !held.includes(socket as Socket))
        socket.destroy(new Error(`no tunnel within ${ms} ms`));
    }, ms).unref();
    // A refused address is answered at once, before there is a socket.
    const socket = connect(to, (error, connected) => {
      clearTimeout(timer);
      done?.(error, connected);
    });
    socket?.once('close', () => clearTimeout(timer));
    return socket;
  };
}
