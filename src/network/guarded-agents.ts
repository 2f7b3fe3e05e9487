/**
 * Agents of node:http and node:https that judge each address before it is dialled, whoever asks
 * (a request, a redirect, a second try, a library): a name of an attacker may lead to what only
 * this machine or its network can reach (SSRF).
 *
 * A name is resolved once. All of its addresses are judged, and Node dials those that were judged;
 * so a name that says something else when it is asked again gains nothing (DNS rebinding). Node
 * resolves no host that is an address already: such a host is judged before the dial.
 *
 * Not seen from here: what a proxy dials, and where a network translates addresses by a prefix of
 * its own (RFC 6052 §2.2).
 */
import dns from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import { isIP, type LookupFunction } from 'node:net';

import { DebgeoError } from '../domain/errors.ts';
import { quoted } from '../domain/text.ts';
import { type AddressKind, kindOf } from './address-kind.ts';

/**
 * How far dials may reach:
 * - `internet`: public addresses only;
 * - `private-network`: loopback and private ones, too, where an operator said so;
 * - `site`: the same and link-local: an operator named the host, and no archive chooses it.
 */
export type Reach = 'internet' | 'private-network' | 'site';

const REFUSED: Readonly<Record<Reach, readonly AddressKind[]>> = {
  internet: ['metadata', 'link-local', 'loopback', 'private', 'reserved'],
  'private-network': ['metadata', 'link-local'],
  site: ['metadata'],
};

/** Each agent has its own connections: what one may reach, another may not. */
export type Agents = (protocol: string, options?: http.AgentOptions) => http.Agent;

/** All addresses of a name: of `dns.lookup`, what is used. */
export type Resolve = (
  hostname: string,
  options: dns.LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: dns.LookupAddress[]) => void,
) => void;

/**
 * Requests through these agents fail with ADDRESS_REFUSED where an address is not dialled.
 * @param resolve a test has its own
 */
export const guardedAgents =
  (reach: Reach, resolve: Resolve = dns.lookup): Agents =>
  (protocol, given = {}) => {
    const options = { ...given, lookup: judgingLookup(reach, resolve) };
    const agent = protocol === 'https:' ? new https.Agent(options) : new http.Agent(options);
    const connect = agent.createConnection.bind(agent);
    agent.createConnection = (to, done) => {
      // The Azure SDK leaves the brackets of IPv6 as they are in a URL.
      const host = (to.host ?? '').replace(/^\[(.*)\]$/, '$1');
      const refusal = isIP(host) === 0 ? null : judge(reach, host, [host]);
      if (refusal === null) return connect(to, done);
      // Thrown, it would be the caller's own error instead of the request's.
      done?.(refusal, undefined as never);
      return undefined;
    };
    return agent;
  };

/** As `dns.lookup`, also where Node asks for all addresses to try them side by side. */
const judgingLookup =
  (reach: Reach, resolve: Resolve): LookupFunction =>
  (hostname, options, callback) =>
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      const found = addresses?.map(({ address }) => address) ?? [];
      const refusal = error ?? judge(reach, hostname, found);
      if (refusal !== null) return callback(refusal, []);
      if (options.all === true) return callback(null, addresses);
      const [first] = addresses;
      callback(null, first?.address ?? '', first?.family);
    });

/** @returns code ADDRESS_REFUSED where one of the addresses is not dialled, be the others right */
function judge(reach: Reach, host: string, addresses: readonly string[]): DebgeoError | null {
  for (const address of addresses) {
    const kind = kindOf(address);
    if (!REFUSED[reach].includes(kind)) continue;
    return new DebgeoError('ADDRESS_REFUSED', `${quoted(host)} has an address that is refused`, {
      expected: REFUSED['private-network'].includes(kind)
        ? 'an address that is neither link-local nor of the metadata of a cloud'
        : 'a public address, or `private_network: true` of the archive',
      found: `${address} (${kind})`,
    });
  }
  return null;
}
