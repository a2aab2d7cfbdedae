/** HTTP in a browser by XMLHttpRequest, the one way that tells how much of a body has left. */
import { RomaError } from "../errors.ts";
import type { Transport, TransportRequest, TransportResponse } from "../transport.ts";
import { browser, type Xhr } from "./globals.ts";

// Without a sign of life in either direction; and from the last byte sent to the answer.
export const idleMsMax = 60_000;
export const answerMsMax = 120_000;
// What a browser sets by itself, and lets nobody set.
const ownFields = new Set(["content-length", "host", "expect"]);

/** `url` is where the request goes. */
export type Send = (request: TransportRequest, url: string) => Promise<TransportResponse>;

export class BrowserTransport implements Transport {
  readonly #endpoint: string;
  readonly #onClose: () => void;
  readonly #sendBodiless: Send;

  /** `sendBodiless` is for answers that are to be read as they come. */
  constructor(endpoint: string, onClose: () => void, sendBodiless: Send = sendByXhr) {
    this.#endpoint = endpoint.replace(/\/+$/, "");
    this.#onClose = onClose;
    this.#sendBodiless = sendBodiless;
  }

  send(request: TransportRequest): Promise<TransportResponse> {
    const { path, signal, body } = request;
    if (signal?.aborted === true) return Promise.reject(abortedError(signal));
    const url = path.startsWith("/") ? this.#endpoint + path : path;
    return body === undefined ? this.#sendBodiless(request, url) : sendByXhr(request, url);
  }

  close(): void {
    this.#onClose();
  }
}

function sendByXhr(
  { method, headers, signal, onSent, body }: TransportRequest,
  url: string,
): Promise<TransportResponse> {
  const { XMLHttpRequest } = browser;
  if (XMLHttpRequest === undefined) {
    throw new TypeError("there is no XMLHttpRequest here; in Node import from @roma/sdk/node");
  }
  const xhr = new XMLHttpRequest();
  const content = body?.content?.();
  return new Promise((resolve, reject) => {
    let failure: RomaError | undefined;
    const end = (error: RomaError) => {
      failure = error;
      xhr.abort();
    };
    const onAbort = () => end(abortedError(signal));
    const watch = new Watch(end);
    const settled = () => {
      watch.stop();
      signal?.removeEventListener("abort", onAbort);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    xhr.open(method, url);
    xhr.responseType = "arraybuffer";
    for (const [name, value] of Object.entries(headers)) {
      if (!ownFields.has(name.toLowerCase())) xhr.setRequestHeader(name, value);
    }
    xhr.upload.onprogress = ({ loaded }) => {
      onSent?.(loaded);
      watch.start(loaded < (body?.length ?? 0) ? idleMsMax : answerMsMax);
    };
    xhr.onprogress = () => watch.start(idleMsMax);
    xhr.onload = () => {
      settled();
      resolve(xhrResponse(xhr));
    };
    xhr.onabort = () => {
      settled();
      reject(failure ?? abortedError(signal));
    };
    xhr.onerror = () => {
      settled();
      readable(content).then(() => reject(lostError(url)), reject);
    };
    // A browser sends few requests at once: how long one waits for that says nothing.
    xhr.send(content);
  });
}

/** A file that was changed or taken away fails a request as a lost connection does. */
async function readable(content: Blob | Uint8Array | undefined): Promise<void> {
  if (!(content instanceof Blob) || content.size === 0) return;
  await content
    .slice(0, 1)
    .arrayBuffer()
    .catch((cause: unknown) => {
      const message = "the file cannot be read, or was changed; choose it again";
      throw new RomaError("source_failed", message, { cause });
    });
}

function xhrResponse(xhr: Xhr): TransportResponse {
  const lines = xhr
    .getAllResponseHeaders()
    .trim()
    .split(/[\r\n]+/);
  const headers = lines.flatMap((line) => {
    const colon = line.indexOf(":");
    return colon < 1 ? [] : [[line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]];
  });
  const bytes = xhr.response instanceof ArrayBuffer ? new Uint8Array(xhr.response) : undefined;
  return {
    status: xhr.status,
    headers: Object.fromEntries(headers),
    body: (async function* () {
      if (bytes !== undefined) yield bytes;
    })(),
    discard: () => {},
  };
}

/** A deadline that is started and stopped many times. */
export class Watch {
  readonly #onExpired: (error: RomaError) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(onExpired: (error: RomaError) => void) {
    this.#onExpired = onExpired;
  }

  start(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const options = { retryable: true, mayHaveHappened: true };
      this.#onExpired(new RomaError("timeout", `nothing moved in ${ms} ms`, options));
    }, ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

export function abortedError(signal: AbortSignal | undefined): RomaError {
  return new RomaError("aborted", "the call was ended", {
    mayHaveHappened: true,
    cause: signal?.reason,
  });
}

// A browser tells no reason, not even whether it was the network or the other origin's consent.
export function lostError(url: string, cause?: unknown): RomaError {
  const { host } = new URL(url);
  return new RomaError("connection_failed", `${host} did not answer, or not to this page`, {
    ...{ retryable: true, mayHaveHappened: true, cause },
  });
}
