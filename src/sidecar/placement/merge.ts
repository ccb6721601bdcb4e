/** Several sources as one, in the order in which they have something; one item of each is under way at most. */
export async function* merged<T>(sources: readonly AsyncGenerator<T>[]): AsyncGenerator<T> {
  const next = (source: AsyncGenerator<T>) => source.next().then((result) => ({ source, result }));
  const waiting = new Map(sources.map((source) => [source, next(source)]));
  try {
    while (waiting.size > 0) {
      const { source, result } = await Promise.race(waiting.values());
      if (result.done === true) waiting.delete(source);
      else {
        waiting.set(source, next(source));
        yield result.value;
      }
    }
  } finally {
    // What waits for its next item ends when its signal does; nobody hears of how.
    for (const [source, item] of waiting) void item.catch(() => {}).then(() => source.return(undefined));
  }
}
