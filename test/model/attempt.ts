/**
 * One attempt of an activity as its machine sees it: each request to a site and each statement to
 * PostgreSQL passes here, and may be the last one, may be held while the world goes on, or may lose
 * its answer. Found through the async context, so that activities run as they are.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire } from 'node:module';

import { DebgeoError } from '../../src/domain/errors.ts';
import type { SiteClock } from './stand-in.ts';

export const PLACES = ['site', 'commit', 'statement'] as const;
export const HOWS = [
  /** The machine is lost before the effect, or between the effect and its answer. */
  'killed before',
  'killed after',
  /** The machine stops there, and goes on when it is thawed. */
  'frozen before',
  'frozen after',
  /** The answer is lost, and the machine goes on at once. */
  'answer lost',
  /** Nothing reaches the other side. */
  'not reached',
] as const;

/** What happens at the n-th request of a kind, from 1. */
export interface Fault {
  readonly at: (typeof PLACES)[number];
  /** Only of those whose words have this: a statement, or method and path. */
  readonly of?: string;
  readonly n: number;
  readonly how: (typeof HOWS)[number];
}

/** Nothing of an attempt that was killed reaches anything. */
class Killed extends Error {}

type Place = Fault['at'];

export class Attempt {
  readonly fault: Fault | null;
  /** By which it sleeps. */
  readonly clock: SiteClock;
  /** The fault came: the attempt has made that many requests. */
  wasHit = false;
  isDead = false;
  /** Sessions of PostgreSQL in whose transactions it is, by process id of the server. */
  readonly transactions = new Set<number>();
  #seen = 0;
  #inFlight = 0;
  #thawed: PromiseWithResolvers<void> | null = null;

  readonly #onHit: () => void;

  constructor(fault: Fault | null, clock: SiteClock, onHit: () => void) {
    this.fault = fault;
    this.clock = clock;
    this.#onHit = onHit;
  }

  get isFrozen(): boolean {
    return this.#thawed !== null;
  }

  /** What was under way when it froze has reached the other side. */
  get isStill(): boolean {
    return this.isFrozen && this.#inFlight === 0;
  }

  thaw(): void {
    this.#thawed?.resolve();
    this.#thawed = null;
  }

  kill(): void {
    this.isDead = true;
    this.thaw();
  }

  async around<T>(place: Place, words: string, effect: () => Promise<T> | T): Promise<T> {
    await this.#wait();
    const how = this.#faultAt(place, words);
    if (how === 'killed before') this.kill();
    if (how === 'frozen before') this.#freeze();
    if (how === 'not reached') throw lost(place);
    await this.#wait();
    const answer = await this.#send(effect);
    if (how === 'killed after') this.kill();
    if (how === 'frozen after') this.#freeze();
    if (how === 'answer lost') throw lost(place);
    await this.#wait();
    return answer;
  }

  async #send<T>(effect: () => Promise<T> | T): Promise<T> {
    this.#inFlight += 1;
    try {
      return await effect();
    } finally {
      this.#inFlight -= 1;
    }
  }

  #faultAt(place: Place, words: string): Fault['how'] | null {
    const { fault } = this;
    if (this.wasHit || fault?.at !== place || !words.includes(fault.of ?? '')) return null;
    this.#seen += 1;
    if (fault.n !== this.#seen) return null;
    this.wasHit = true;
    this.#onHit();
    return fault.how;
  }

  #freeze(): void {
    this.#thawed = Promise.withResolvers();
  }

  async #wait(): Promise<void> {
    while (this.#thawed !== null) await this.#thawed.promise;
    if (this.isDead) throw new Killed('killed');
  }
}

const lost = (place: Place): Error =>
  place === 'site'
    ? new DebgeoError('SITE_UNREACHABLE', 'the connection broke', { found: 'ECONNRESET' })
    : Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });

export const attempts = new AsyncLocalStorage<Attempt>();

interface PgClient {
  readonly processID: number;
  query: (...args: unknown[]) => unknown;
}

const COMMIT = /^\s*commit/i;
const BEGIN = /^\s*(?:begin|start transaction)/i;
const ROLLBACK = /^\s*rollback/i;
/** On each new connection: how many there are is not for a schedule to know. */
const OF_SESSION = /idle_in_transaction_session_timeout/;

let isWatching = false;

/** From now on the statements of attempts pass through them. */
export function watchStatements(): void {
  if (isWatching) return;
  isWatching = true;
  const driver = createRequire(import.meta.resolve('@mikro-orm/postgresql'))('pg') as {
    readonly Client: { readonly prototype: PgClient };
  };
  const { prototype } = driver.Client;
  const { query } = prototype;
  prototype.query = function watched(this: PgClient, ...args: unknown[]): unknown {
    const attempt = attempts.getStore();
    const text = textOf(args[0]);
    const send = (): unknown => query.apply(this, args);
    if (attempt === undefined || text === null || typeof args.at(-1) === 'function') return send();
    // the server does so by itself when the session of a lost machine ends
    if (ROLLBACK.test(text)) {
      attempt.transactions.delete(this.processID);
      return send();
    }
    if (OF_SESSION.test(text)) return send();
    return attempt.around(COMMIT.test(text) ? 'commit' : 'statement', text, async () => {
      const answer = await send();
      if (BEGIN.test(text)) attempt.transactions.add(this.processID);
      if (COMMIT.test(text)) attempt.transactions.delete(this.processID);
      return answer;
    });
  };
}

function textOf(statement: unknown): string | null {
  if (typeof statement === 'string') return statement;
  if (typeof statement !== 'object' || statement === null || 'submit' in statement) return null;
  return 'text' in statement && typeof statement.text === 'string' ? statement.text : null;
}
