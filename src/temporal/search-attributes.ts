/** The search attributes that workflows set, as the server of a namespace knows them. */
import type { Client, Connection } from '@temporalio/client';

import { SEARCH_ATTRIBUTES } from '../../workflows/messages.ts';
import { DebgeoError } from '../domain/errors.ts';
import { call, GRPC, grpcCode } from './connection.ts';

/** temporal.api.enums.v1.IndexedValueType: as the operator service counts them. */
const INDEXED_VALUE_TYPE = { KEYWORD: 2, INT: 3, KEYWORD_LIST: 7 } as const;

export interface SearchAttribute {
  readonly name: string;
  readonly type: string;
  readonly isRight: boolean;
  /** Type number as the operator service counts: 2 keyword, 3 int, 7 list. Null: not registered. */
  readonly found: number | null;
}

/**
 * Registers the search attributes that the workflow sets: without them every workflow task fails,
 * again and again.
 * @throws CONFIG_INVALID when one exists with another type (the server would accept that in
 *   silence), or when we may not register them
 */
export async function ensureSearchAttributes(client: Client): Promise<void> {
  const { namespace } = client.options;
  await call(client, async () => {
    const attributes = await readSearchAttributes(client);
    for (const { name, type, isRight, found } of attributes)
      if (found !== null && !isRight)
        throw new DebgeoError(
          'CONFIG_INVALID',
          `search attribute ${name} of namespace ${namespace} has another type`,
          { expected: `${type} (${typeNumber(type)})`, found: `type number ${found}` },
        );
    const missing = attributes.filter(({ found }) => found === null);
    if (missing.length > 0) await register(client, missing);
  });
}

/** Within `call`. */
export async function readSearchAttributes(client: Client): Promise<readonly SearchAttribute[]> {
  const { namespace } = client.options;
  const { operatorService } = client.connection as Connection;
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  return SEARCH_ATTRIBUTES.map(({ name, type }) => {
    const found = customAttributes?.[name] ?? null;
    return { name, type, isRight: found === typeNumber(type), found };
  });
}

async function register(client: Client, missing: readonly SearchAttribute[]): Promise<void> {
  const { namespace } = client.options;
  const { operatorService } = client.connection as Connection;
  try {
    await operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(
        missing.map(({ name, type }) => [name, typeNumber(type)]),
      ),
    });
  } catch (error) {
    const code = grpcCode(error);
    if (code === GRPC.alreadyExists) return; // another worker was faster
    if (code === GRPC.permissionDenied || code === GRPC.unimplemented)
      throw new DebgeoError(
        'CONFIG_INVALID',
        `search attributes of namespace ${namespace} cannot be registered from here;` +
          ' register them by hand',
        {
          expected: SEARCH_ATTRIBUTES.map(({ name, type }) => `${name}=${type}`).join(', '),
          found: `without ${missing.map(({ name }) => name).join(', ')}`,
        },
      );
    throw error;
  }
}

const typeNumber = (type: string): 2 | 3 | 7 =>
  INDEXED_VALUE_TYPE[type as keyof typeof INDEXED_VALUE_TYPE];
