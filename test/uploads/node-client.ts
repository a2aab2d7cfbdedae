/** tus-js-client as its users run it in Node: retries, resumes, and the headers it sends. */
import { Upload, type UploadOptions } from "tus-js-client";
import { basicAuthorization } from "../harness/http-client.ts";

export type Source = ConstructorParameters<typeof Upload>[0];

/** Many, for a server that is away, for minutes on a busy machine, or a connection that breaks is met by trying again. */
const retryDelays = [0, 50, 100, 200, 400, 800, ...Array.from({ length: 100 }, () => 1600)];

export interface NodeUpload {
  readonly upload: Upload;
  /** Resolves when the client holds it for done; rejects when it gave up. */
  readonly done: Promise<void>;
  /** Methods of its requests, in order. */
  readonly methods: readonly string[];
}

export function startNodeUpload(
  source: Source,
  options: UploadOptions & { readonly key: string },
): NodeUpload {
  const { key, ...given } = options;
  const methods: string[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const upload = new Upload(source, {
    headers: { Authorization: basicAuthorization },
    metadata: { key, filename: key, filetype: "application/octet-stream" },
    retryDelays,
    onError: reject,
    onSuccess: () => resolve(),
    ...given,
    onBeforeRequest: (request) => {
      methods.push(request.getMethod());
    },
  });
  upload.start();
  return { upload, done: promise, methods };
}

/** Calls once with the client, as soon as so many bytes were sent. */
export function atBytes(bytes: number, act: () => void): NonNullable<UploadOptions["onProgress"]> {
  let isDone = false;
  return (sent) => {
    if (isDone || sent < bytes) return;
    isDone = true;
    act();
  };
}
