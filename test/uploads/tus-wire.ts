/** tus requests one by one, for tests that say themselves what goes over the wire. */
import { strict as assert } from "node:assert";
import { type Answer, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";

interface At {
  readonly url: string;
}

export const tusFields = { "tus-resumable": "1.0.0" } as const;
export const bytesFields = {
  ...tusFields,
  "content-type": "application/offset+octet-stream",
} as const;

/** `Upload-Metadata` that names the object's key. */
export function keyMetadata(key: string): string {
  return `key ${Buffer.from(key).toString("base64")}`;
}

export interface CreateOptions {
  /** Left out: told later. */
  readonly length?: number;
  readonly key?: string;
  readonly bucket?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export function postTus(server: At, options: CreateOptions): Promise<Answer> {
  const { length, key, bucket = "demo", headers, body } = options;
  return send(server, "POST", `/tus/${bucket}`, {
    headers: {
      ...(body === undefined ? tusFields : bytesFields),
      ...(length === undefined ? {} : { "upload-length": `${length}` }),
      ...(key === undefined ? {} : { "upload-metadata": keyMetadata(key) }),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
  });
}

/** The path of a new upload. */
export async function createTus(server: At, options: CreateOptions): Promise<string> {
  const headers = {
    ...(options.length === undefined ? { "upload-defer-length": "1" } : {}),
    ...options.headers,
  };
  const answer = await postTus(server, { ...options, headers });
  assert.equal(answer.status, 201, answer.body.toString());
  return new URL(answer.headers.location ?? "").pathname;
}

/** A complete partial, for concatenation. */
export async function createPartial(server: At, bytes: Uint8Array): Promise<string> {
  const headers = { "upload-concat": "partial" };
  const path = await createTus(server, { length: bytes.length, headers });
  const answer = await patchTus(server, path, 0, bytes);
  assert.equal(answer.status, 204, answer.body.toString());
  return path;
}

export function patchTus(
  server: At,
  path: string,
  offset: number,
  body: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return send(server, "PATCH", path, {
    headers: { ...bytesFields, "upload-offset": `${offset}`, ...headers },
    body,
  });
}

export function headTus(server: At, path: string): Promise<Answer> {
  return send(server, "HEAD", path, { headers: tusFields });
}

export function deleteTus(server: At, path: string): Promise<Answer> {
  return send(server, "DELETE", path, { headers: tusFields });
}

/** Where the upload is, as `HEAD` tells it; undefined if there is none. */
export async function offsetOf(server: At, path: string): Promise<number | undefined> {
  return toldOffset(await headTus(server, path), path);
}

/** The same, once nobody holds the upload, and no worker that is asked for its word is silent. */
export async function offsetWhenFree(server: At, path: string): Promise<number | undefined> {
  let answer = await headTus(server, path);
  await eventually("nobody holds the upload", async () => {
    if (answer.status === 423) answer = await headTus(server, path);
    return answer.status !== 423;
  });
  return toldOffset(answer, path);
}

function toldOffset(answer: Answer, path: string): number | undefined {
  if (answer.status === 404 || answer.status === 410) return undefined;
  assert.equal(answer.status, 200, `HEAD ${path}: ${answer.status}`);
  const offset = Number(answer.headers["upload-offset"]);
  assert.ok(Number.isSafeInteger(offset), `an offset: ${answer.headers["upload-offset"]}`);
  return offset;
}

/** As `/v1/uploads` tells; one page. */
export async function listUploads(server: At): Promise<Record<string, unknown>[]> {
  const answer = await send(server, "GET", "/v1/uploads?limit=1000");
  assert.equal(answer.status, 200, answer.body.toString());
  const page: { readonly uploads: Record<string, unknown>[] } = JSON.parse(answer.body.toString());
  return page.uploads;
}
