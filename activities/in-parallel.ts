/** Works on items, `width` at a time. The first failure aborts what is in flight, waits for it, and is thrown; nothing runs on behind it. */
export async function inParallel<Item>(
  items: readonly Item[],
  width: number,
  signal: AbortSignal,
  work: (item: Item, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const queue = items.values();
  let failure: { readonly error: unknown } | null = null;

  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (failure !== null) return;
      try {
        both.throwIfAborted();
        await work(item, both);
      } catch (error) {
        failure ??= { error };
        stop.abort();
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  if (failure !== null) throw (failure as { error: unknown }).error;
}
