/**
 * Azure's default identity (`credential: default`): environment, workload identity, managed
 * identity, or the login of a developer's machine. Nothing of it is ours to keep: @azure/identity
 * finds it and holds its tokens in memory; what an error of it says is bounded, and has no cause.
 */
import type { AccessToken, GetTokenOptions, TokenCredential } from '@azure/identity';

import { DebgeoError } from '../domain/errors.ts';
import { LIMITS } from '../domain/limits.ts';
import { quoted } from '../domain/text.ts';

/** Kept private, so that neither a logger nor a serialiser comes to the tokens behind it. */
export class Identity implements TokenCredential {
  readonly #load: () => Promise<TokenCredential>;
  readonly #patienceMs: number;
  #loaded: Promise<TokenCredential> | null = null;

  constructor(
    load: () => Promise<TokenCredential> = loadDefault,
    patienceMs: number = LIMITS.identityMs,
  ) {
    this.#load = load;
    this.#patienceMs = patienceMs;
  }

  /**
   * @throws SITE_IDENTITY_MISSING  none of the places has an identity, or none answered in time
   * @throws SITE_DENIED  there is one, and Microsoft Entra refuses it
   */
  async getToken(scopes: string | string[], options: GetTokenOptions = {}): Promise<AccessToken> {
    const late = AbortSignal.timeout(this.#patienceMs);
    const caller = options.abortSignal;
    const stop = new AbortController();
    const end = (): void => stop.abort();
    caller?.addEventListener('abort', end);
    late.addEventListener('abort', end);
    if (caller?.aborted) stop.abort();
    try {
      const token = await Promise.race([
        this.#ask(scopes, { ...options, abortSignal: stop.signal }),
        ended(stop.signal),
      ]);
      if (token === null) throw missing('no token');
      return token;
    } catch (error) {
      if (caller?.aborted) throw error;
      if (late.aborted) throw missing(`no token within ${this.#patienceMs / 1000} s`);
      throw identityError(error);
    } finally {
      caller?.removeEventListener('abort', end);
    }
  }

  async #ask(scopes: string | string[], options: GetTokenOptions): Promise<AccessToken | null> {
    this.#loaded ??= this.#load();
    return (await this.#loaded).getToken(scopes, options);
  }
}

/**
 * One for all sites of a process: it finds out once where tokens come from. Loaded when a site
 * needs it: it is large.
 */
export const DEFAULT_IDENTITY = new Identity();

async function loadDefault(): Promise<TokenCredential> {
  const { DefaultAzureCredential } = await import('@azure/identity');
  return new DefaultAzureCredential();
}

/**
 * Commands that a developer's login is asked with, and the endpoint of managed identities, heed no
 * signal everywhere.
 */
async function ended(signal: AbortSignal): Promise<never> {
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  throw new DOMException('given up', 'AbortError');
}

/**
 * By the names that @azure/identity gives its errors: whether there is an identity decides, not
 * what went wrong on the way.
 */
function identityError(error: unknown): DebgeoError {
  if (error instanceof DebgeoError) return error;
  if (isRefusal(error)) {
    const { error: kind = 'refused', errorCodes = [] } = error.errorResponse ?? {};
    return new DebgeoError('SITE_DENIED', 'Microsoft Entra refuses the identity of this process', {
      found: quoted(
        [
          `${error.statusCode ?? ''} ${kind}`.trim(),
          ...errorCodes.map((code) => `AADSTS${code}`),
        ].join(', '),
      ),
    });
  }
  const tried = error instanceof AggregateError || hasErrors(error) ? error.errors : [error];
  return missing(tried.map(firstSentence).join('; '));
}

interface AuthenticationError extends Error {
  readonly statusCode?: number;
  readonly errorResponse?: { readonly error?: string; readonly errorCodes?: readonly number[] };
}

/**
 * 400 and 401 of the token endpoint. A 403 or 5xx may come from something in between, and goes by.
 */
const isRefusal = (error: unknown): error is AuthenticationError =>
  error instanceof Error &&
  error.name === 'AuthenticationError' &&
  'statusCode' in error &&
  (error.statusCode === 400 || error.statusCode === 401);

const hasErrors = (error: unknown): error is { errors: readonly unknown[] } =>
  typeof error === 'object' && error !== null && 'errors' in error && Array.isArray(error.errors);

const firstSentence = (error: unknown): string =>
  quoted(/^[^.\n]*/.exec(error instanceof Error ? error.message : 'no token')![0]);

const missing = (found: string): DebgeoError =>
  new DebgeoError('SITE_IDENTITY_MISSING', "Azure's default identity gives this process no token", {
    expected:
      'a managed identity, a workload identity, the variables of a service principal, or the ' +
      'login of `az login`',
    found,
  });
