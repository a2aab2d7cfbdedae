// Credentials come from an async function. `cachedCredentials` asks it rarely and never twice at once,
// and keeps what it has while it is still good and the source is down.

import type { Clock } from "../../../core/ports/clock.ts";

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials, such as STS gives. */
  readonly sessionToken?: string;
  /** Absent: they do not expire. */
  readonly expiresAt?: Date;
}

/** Fails with an Error that names the source and never a secret. */
export type CredentialSource = (signal: AbortSignal) => Promise<Credentials>;

export interface CachedCredentials {
  get(signal: AbortSignal): Promise<Credentials>;
  /** The storage refused these: the next call asks the source again. */
  refuse(credentials: Credentials): void;
}

/** Asked again this long before they expire, so that a long request does not begin with old ones. */
const refreshBeforeMs = 5 * 60_000;
/** A source that fails is not asked again sooner while the old credentials are good. */
const retryAfterMs = 10_000;
/** A refresh is nobody's call: it has an end of its own. */
const refreshMsMax = 15_000;

/** One refresh runs at a time; whoever needs credentials meanwhile waits for it. */
export function cachedCredentials(
  source: CredentialSource,
  { clock }: { readonly clock: Clock },
): CachedCredentials {
  let held: Credentials | undefined;
  let running: Promise<Credentials> | undefined;
  let notBeforeMs = Number.NEGATIVE_INFINITY;

  const refresh = (): Promise<Credentials> => {
    running ??= source(AbortSignal.timeout(refreshMsMax))
      .then((fresh) => {
        held = fresh;
        return fresh;
      })
      .finally(() => {
        running = undefined;
        notBeforeMs = clock.monotonicMs() + retryAfterMs;
      });
    return running;
  };

  return {
    async get(signal) {
      const now = clock.now().getTime();
      const expiresMs = held?.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY;
      if (held !== undefined && now < expiresMs - refreshBeforeMs) return held;
      if (held !== undefined && now < expiresMs) {
        // Still good: the refresh runs beside, and its failure is not this call's.
        if (clock.monotonicMs() >= notBeforeMs) refresh().catch(() => undefined);
        return held;
      }
      return await abortable(refresh(), signal);
    },
    refuse(credentials) {
      if (held === credentials) held = undefined;
    },
  };
}

function abortable<T>(running: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    running.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
