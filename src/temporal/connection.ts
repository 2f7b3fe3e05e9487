/** The connection to Temporal, and what its errors mean. */
import { fileURLToPath } from 'node:url';

import {
  Client,
  Connection,
  isGrpcServiceError,
  ServiceError,
  type ConnectionOptions,
} from '@temporalio/client';

import { DebgeoError } from '../domain/errors.ts';

/** How clients, workers and the workflow bundle convert values. */
export const DATA_CONVERTER = {
  payloadConverterPath: fileURLToPath(
    new URL('../../workflows/payload-converter.ts', import.meta.url),
  ),
};

/** As `@temporalio/envconfig` gives it; what a client and a worker both understand. */
export interface TemporalConfig extends Pick<ConnectionOptions, 'tls' | 'metadata'> {
  readonly address: string;
  readonly namespace: string;
  readonly apiKey?: string;
}

/** A server that accepts a connection and does not answer is unreachable, too. */
const CALL_MS = 10_000;

export const GRPC = {
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
  unavailable: 14,
};

/** The caller closes `client.connection`. @throws TEMPORAL_UNREACHABLE */
export async function connectTemporal(
  config: TemporalConfig,
  connectMs = CALL_MS,
): Promise<Client> {
  const { namespace, ...options } = config;
  try {
    return new Client({
      namespace,
      dataConverter: DATA_CONVERTER,
      connection: await Connection.connect({ ...options, connectTimeout: connectMs }),
    });
  } catch (error) {
    throw unreachable(error, config.address);
  }
}

/** @throws TEMPORAL_UNREACHABLE when the server does not answer in time; else what `work` throws */
export async function call<T>(client: Client, work: () => Promise<T>): Promise<T> {
  try {
    return await client.withDeadline(Date.now() + CALL_MS, work);
  } catch (error) {
    const code = grpcCode(error);
    throw code === GRPC.unavailable || code === GRPC.deadlineExceeded ? unreachable(error) : error;
  }
}

export function unreachable(cause: unknown, address?: string): DebgeoError {
  const root = cause instanceof ServiceError ? (cause.cause ?? cause) : cause;
  return new DebgeoError(
    'TEMPORAL_UNREACHABLE',
    `Temporal does not answer${address === undefined ? '' : ` at ${address}`}`,
    { found: String((root as Error | undefined)?.message ?? cause) },
    root,
  );
}

/** Null: the error is not one of gRPC. */
export function grpcCode(error: unknown): number | null {
  const root = error instanceof Error && !isGrpcServiceError(error) ? error.cause : error;
  return isGrpcServiceError(root) ? root.code : null;
}
