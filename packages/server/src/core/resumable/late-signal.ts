/** Giving what runs some time to end by itself. */

/** Dispose it to listen no more. */
export interface LateSignal extends Disposable {
  readonly signal: AbortSignal;
}

/** A signal that comes some time after others, or at once with `now`. */
export function lateSignal(
  soft: readonly AbortSignal[],
  options: { readonly graceMs: number; readonly now?: AbortSignal },
): LateSignal {
  const { graceMs: ms, now } = options;
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const atOnce = (): void => controller.abort(now?.reason);
  const later = ({ reason }: AbortSignal) => {
    timer ??= setTimeout(() => controller.abort(reason), ms);
  };
  const onAbort = (event: Event): void => later(event.target as AbortSignal);
  for (const signal of soft) {
    if (signal.aborted) later(signal);
    else signal.addEventListener("abort", onAbort, { once: true });
  }
  now?.addEventListener("abort", atOnce, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      for (const signal of soft) signal.removeEventListener("abort", onAbort);
      now?.removeEventListener("abort", atOnce);
    },
  };
}
