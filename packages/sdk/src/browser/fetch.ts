/** Requests without a body by fetch: their answers can be read as they come. */
import type { RomaError } from "../errors.ts";
import type { TransportRequest, TransportResponse } from "../transport.ts";
import { abortedError, answerMsMax, idleMsMax, lostError, Watch } from "./transport.ts";

export async function sendByFetch(
  { method, headers, signal }: TransportRequest,
  url: string,
): Promise<TransportResponse> {
  const controller = new AbortController();
  let failure: RomaError | undefined;
  const end = (error: RomaError) => {
    failure = error;
    controller.abort();
  };
  const onAbort = () => end(abortedError(signal));
  const watch = new Watch(end);
  const settled = () => {
    watch.stop();
    signal?.removeEventListener("abort", onAbort);
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  const translate = (cause: unknown) => {
    settled();
    return failure ?? lostError(url, cause);
  };
  watch.start(answerMsMax);
  const response = await fetch(url, {
    ...{ method, headers, signal: controller.signal },
    ...{ credentials: "omit", cache: "no-store" },
  }).catch((cause: unknown) => {
    throw translate(cause);
  });
  watch.stop();
  const reader = response.body?.getReader();
  if (reader === undefined) settled();
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: (async function* () {
      try {
        while (reader !== undefined) {
          watch.start(idleMsMax);
          const { done, value } = await reader.read();
          watch.stop();
          if (done) return;
          yield value;
        }
      } catch (cause) {
        throw translate(cause);
      } finally {
        settled();
        controller.abort();
      }
    })(),
    discard() {
      settled();
      controller.abort();
    },
  };
}
