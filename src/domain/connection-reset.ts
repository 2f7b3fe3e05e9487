/**
 * A kept connection that the other side closes just when a request goes out on it. HTTP servers
 * close idle connections whenever they like, so this is no failure (RFC 9112 §9.3.1).
 */

/** As Node and the Azure SDK report it: the other side closed the connection before it answered. */
export const isReset = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'ECONNRESET' || error.code === 'EPIPE');

/**
 * Sends a request, and where its connection was reset once more. The request may arrive twice: it
 * must be a GET, or conditional.
 * @param again sends it on a new connection
 * @throws what `send` throws, unless it is a reset; else what `again` throws
 */
export async function onceMoreAfterReset<T>(
  send: () => Promise<T>,
  again: () => Promise<T>,
): Promise<T> {
  try {
    return await send();
  } catch (error) {
    if (!isReset(error)) throw error;
    return await again();
  }
}
