/**
 * Works on items, `width` at a time, as they come. The first failure aborts the items in flight,
 * waits until they have ended, and is thrown; no more items are asked for, and none is worked on
 * after it was thrown.
 */
export async function inParallel<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  width: number,
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const queue =
    Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let failure: { readonly error: unknown } | null = null;

  const worker = async (): Promise<void> => {
    try {
      while (failure === null) {
        const next = await queue.next();
        if (next.done) return;
        both.throwIfAborted();
        await work(next.value, both);
      }
    } catch (error) {
      failure ??= { error };
      stop.abort();
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  await queue.return?.();
  if (failure !== null) throw (failure as { error: unknown }).error;
}
