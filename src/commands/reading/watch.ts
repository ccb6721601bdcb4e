/**
 * `--watch`: read, show, wait, until the signal. The first read must succeed; a later failure is shown and tried
 * again, since a sidecar that restarts is what one watches for.
 */

export interface Watch<T> {
  intervalMs: number;
  read: (signal: AbortSignal) => Promise<T>;
  /** True ends the watch. */
  show: (snapshot: T) => boolean;
  failed: (error: unknown) => void;
  /** Resolves after the time, or at once when the signal aborts. Injected by tests. */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** Resolves when the signal aborts or `show` says so. Rejects with what the first read rejects with. */
export async function watch<T>({ intervalMs, read, show, failed, wait = delay }: Watch<T>, signal: AbortSignal): Promise<void> {
  let succeeded = false;
  while (!signal.aborted) {
    try {
      const snapshot = await read(signal);
      if (aborted(signal)) return;
      succeeded = true;
      if (show(snapshot)) return;
    } catch (error) {
      if (aborted(signal)) return;
      if (!succeeded) throw error;
      failed(error);
    }
    await wait(intervalMs, signal);
  }
}

/** A call, because the compiler takes `signal.aborted` for constant after the loop's test. */
function aborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Resolves after the time, or at once when the signal aborts. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}
