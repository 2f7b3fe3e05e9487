/**
 * The faults of test/support/fault-proxy.ts in memory: what a store that speaks HTTP makes of each,
 * for the contract of sites.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { DebgeoError } from '../../src/domain/errors.ts';
import { refusalError } from '../../src/site/site-error.ts';
import type { Fault, FaultProxy, Rule, SeenRequest } from '../support/fault-proxy.ts';
import { brokenBody, type Request, type Wire } from './stand-in.ts';

/** Longer than a test that aborts a hanging request waits. */
const STALL_MS = 300;
const RATE_MIN = 100_000;
const THROTTLE_PATIENCE_MS = 1_500;
const SECOND_MS = 1_000;

const unreachable = (found: string): DebgeoError =>
  new DebgeoError('SITE_UNREACHABLE', 'the connection broke', { found });

/** The connection ended without an answer: the request goes out once more. */
class Reset extends Error {}

export class RulesProxy implements FaultProxy {
  readonly origin = 'memory:';
  #rules: (Rule & { seen: number })[] = [];
  #requests: SeenRequest[] = [];
  #refuses = false;

  setRules(rules: Rule[]): Promise<void> {
    this.#rules = rules.map((rule) => ({ ...rule, seen: 0 }));
    return Promise.resolve();
  }

  refuse(on: boolean): Promise<void> {
    this.#refuses = on;
    return Promise.resolve();
  }

  requests = (): Promise<SeenRequest[]> => Promise.resolve(this.#requests);

  clear(): Promise<void> {
    this.#requests = [];
    return Promise.resolve();
  }

  close = (): Promise<void> => Promise.resolve();

  readonly wire: Wire = async (request, effect) => {
    try {
      return await this.#send(request, effect);
    } catch (error) {
      if (!(error instanceof Reset)) throw error;
    }
    try {
      return await this.#send(request, effect);
    } catch (error) {
      throw error instanceof Reset ? unreachable('ECONNRESET') : error;
    }
  };

  async #send<T>(request: Request, effect: () => T): Promise<T> {
    const { method, path, query, signal } = request;
    signal.throwIfAborted();
    if (this.#refuses) throw unreachable('ECONNREFUSED');
    const fault = this.#faultOf(request);
    const entry: SeenRequest = {
      method,
      path: `/${path}`,
      query,
      done: null,
      status: null,
      fault: fault?.kind ?? null,
    };
    this.#requests.push(entry);
    const answer = await this.#suffer(fault, request, effect, entry);
    entry.status ??= method === 'PUT' ? 201 : 200;
    return answer;
  }

  #faultOf({ method, path, query }: Request): Fault | null {
    for (const rule of this.#rules) {
      if (rule.method !== undefined && rule.method !== method) continue;
      if (rule.target !== undefined && !new RegExp(rule.target).test(`/${path}${query}`)) continue;
      rule.seen += 1;
      const first = rule.skip ?? 0;
      if (rule.seen > first && rule.seen <= first + (rule.times ?? Infinity)) return rule.fault;
    }
    return null;
  }

  async #suffer<T>(
    fault: Fault | null,
    request: Request,
    effect: () => T,
    entry: SeenRequest,
  ): Promise<T> {
    if (fault === null) return effect();
    const isLarge = (bytes: number): boolean => sizeOf(effect()) > bytes;
    switch (fault.kind) {
      case 'cut':
        throw new Reset();
      case 'drop':
        effect();
        throw new Reset();
      case 'hang':
        return stall(request.signal);
      case 'stall':
        return isLarge(fault.bytes) ? stall(request.signal) : effect();
      case 'truncate':
        if (!isLarge(fault.bytes)) return effect();
        throw brokenBody('the answer ended early');
      case 'rate':
        return fault.bytesPerSecond < RATE_MIN ? stall(request.signal) : effect();
      case 'flip':
        if (fault.in === 'request') throw unreachable('400 Md5Mismatch');
        throw brokenBody('the answer is not what was stored');
      case 'delay':
        await sleep(fault.ms, undefined, { signal: request.signal });
        return effect();
      case 'answer':
        entry.status = fault.status;
        return this.#refused(fault, request, effect);
    }
  }

  async #refused<T>(
    { status, headers = {} }: Fault & { kind: 'answer' },
    request: Request,
    effect: () => T,
  ): Promise<T> {
    const refusal = {
      status,
      code: headers['x-ms-error-code'] ?? '',
      retryAfter: headers['retry-after'] ?? null,
    };
    const wait = Number(refusal.retryAfter ?? Infinity) * SECOND_MS;
    if (status !== 503 || wait > THROTTLE_PATIENCE_MS)
      throw refusalError(refusal, `send ${request.path}`, 'SITE_DENIED');
    await sleep(wait, undefined, { signal: request.signal });
    return this.#send(request, effect);
  }
}

const sizeOf = (answer: unknown): number =>
  typeof answer === 'object' && answer !== null && 'bytes' in answer
    ? (answer.bytes as Buffer).length
    : 0;

/** @throws SITE_STALLED, or what `signal` says */
async function stall(signal: AbortSignal): Promise<never> {
  await sleep(STALL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  throw new DebgeoError('SITE_STALLED', 'too few bytes moved for too long');
}
