/** What the tests of direct uploads share: the calls of a client that follows what it is told. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { DirectUploadJson, SignedRequestJson } from "@roma/contract";
import type { Answered, CallOptions, RestServer } from "./testing.ts";

export const partBytes = 1024;

/** The answer to `POST /v1/uploads`, which must be 201. */
export async function begin(
  server: RestServer,
  request: object,
  options: CallOptions = {},
): Promise<DirectUploadJson> {
  const body = { bucket: "b", key: "k", ...request };
  const answer = await server.call("POST", "/v1/uploads", { ...options, body });
  assert.equal(answer.status, 201, answer.text);
  return answer.json as unknown as DirectUploadJson;
}

/** Exactly as told, and without a credential. */
export async function sendSigned(
  server: RestServer,
  { url, method, headers }: SignedRequestJson,
  body: Buffer | string,
  more: { readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<Answered> {
  const { pathname, search, origin } = new URL(url);
  assert.equal(origin, server.url);
  return await server.call(more.method ?? method, pathname + search, {
    as: "nobody",
    headers: { ...headers, ...more.headers },
    body,
  });
}

export function requestOf(
  upload: DirectUploadJson,
  name: number | "put" = "put",
): SignedRequestJson {
  const { transfer } = upload;
  if (name === "put") {
    assert.equal(transfer.kind, "put");
    assert(transfer.kind === "put");
    return transfer.request;
  }
  assert(transfer.kind === "parts", transfer.kind);
  return transfer.requests[name] ?? assert.fail(`no request for part ${name}`);
}

export async function complete(
  server: RestServer,
  id: string,
  body: object = {},
  options: CallOptions = {},
): Promise<Answered> {
  return await server.call("POST", `/v1/uploads/${id}/complete`, { ...options, body });
}

/** A refusal, by its status and code. */
export function refused(answer: Answered, status: number, code: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.code, code, answer.text);
}

export const hash = (name: string, bytes: Buffer | string): string =>
  createHash(name).update(bytes).digest("hex");
