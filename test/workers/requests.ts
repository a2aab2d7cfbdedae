/** Requests to a worker, with the root key. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { signedHeaders } from "../../packages/server/src/protocols/s3/testing-signature.ts";
import { type Answer, send } from "../harness/http-client.ts";
import { rootKey } from "../harness/server-process.ts";
import type { Worker } from "./workers.ts";

const [keyId = "", secret = ""] = rootKey.split(":");

/** Of the bucket demo: what follows it in the path. */
export async function s3(
  worker: Worker,
  method: string,
  target: string,
  body: Buffer | string = "",
): Promise<Answer> {
  const path = `/s3/demo/${target}`;
  const unsigned = { method, target: path, headers: { host: new URL(worker.url).host }, body };
  const headers = signedHeaders(unsigned, { keyId, secret }, new Date());
  return await patiently(() => send(worker, method, path, { headers, body, authorization: null }));
}

/**
 * Asked again for as long as the server says that one of its workers does not answer. Workers wait for each other's
 * word for seconds; on a machine that is busy one of them may stand still for longer.
 */
export async function patiently(ask: () => Promise<Answer>): Promise<Answer> {
  const until = performance.now() + 60_000;
  for (;;) {
    const answer = await ask();
    const isSilence = answer.status === 503 && /\bworker\b/.test(answer.body.toString());
    if (!isSilence || performance.now() > until) return answer;
    await delay(200);
  }
}

export function call(
  worker: Worker,
  method: string,
  path: string,
  value?: unknown,
): Promise<Answer> {
  return send(worker, method, path, value === undefined ? {} : { body: JSON.stringify(value) });
}

/** What a success answers; fails on anything else. */
export async function json(
  worker: Worker,
  method: string,
  path: string,
  value?: unknown,
): Promise<Record<string, unknown>> {
  const answer = await patiently(() => call(worker, method, path, value));
  const text = answer.body.toString();
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${text}`);
  return text === "" ? {} : JSON.parse(text);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
