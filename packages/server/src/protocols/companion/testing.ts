/** A whole server and a page's `fetch`, for the tests of this folder. Nothing else imports it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type GrantClaims, signGrant } from "../../core/grants.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import { silentLog } from "../../core/ports/log.ts";
import { startServer } from "../../server.ts";
import { parseServerConfig, type ServerConfigInput } from "../../server-config.ts";

export const key = { keyId: "ROOTKEY", secret: "correct-horse-battery" };
export const root = `Bearer ${key.keyId}.${key.secret}`;

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: CompanionJson;
}

/** What the answers hold, each some of it. */
export interface CompanionJson {
  readonly method: string;
  readonly url: string;
  readonly fields: Readonly<Record<string, string>> & { readonly key: string };
  readonly expires: number;
  readonly key: string;
  readonly uploadId: string;
  readonly bucket: string;
  readonly endpoint: string;
  readonly presignedUrls: Readonly<Record<string, string>>;
  readonly credentials: { readonly sessionToken: string };
  readonly error: string;
  readonly message: string;
  readonly objects: readonly { readonly key: string }[];
}

export interface CompanionServer {
  readonly url: string;
  readonly call: (method: string, target: string, options?: RequestInit) => Promise<Answered>;
  /** As an `Authorization`; without a bucket it is of `demo`, for writing. */
  readonly bearer: (claims: Partial<GrantClaims>, lifeMs?: number) => string;
  /** The bytes of an object, read with the root key. */
  readonly object: (name: string) => Promise<Answered>;
  readonly keys: () => Promise<readonly string[]>;
  readonly advance: (ms: number) => void;
}

/** The server has the bucket `demo`. */
export async function startCompanion(
  t: TestContext,
  options: Partial<ServerConfigInput> = {},
): Promise<CompanionServer> {
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const data = await mkdtemp(join(tmpdir(), "roma-companion-"));
  opened.defer(() => rm(data, { recursive: true, force: true, maxRetries: 5 }));
  let aheadMs = 0;
  const clock: Clock = {
    now: () => new Date(systemClock.now().getTime() + aheadMs),
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
  };
  const rootKey = `${key.keyId}:${key.secret}`;
  const config = parseServerConfig({ data, port: 0, opsPort: 0, rootKey, ...options });
  const { url } = opened.use(await startServer(config, { log: silentLog, clock }));
  const call: CompanionServer["call"] = async (method, target, init = {}) => {
    const answer = await fetch(new URL(target, url), { ...init, method, redirect: "manual" });
    const text = await answer.text();
    const isJson = (answer.headers.get("content-type") ?? "").includes("json");
    const json = isJson ? JSON.parse(text) : undefined;
    return { status: answer.status, headers: answer.headers, text, json };
  };
  const asRoot = { headers: { authorization: root } };
  return {
    url,
    call,
    bearer: (claims, lifeMs = 3_600_000) => {
      const whole = { bucket: "demo", actions: ["object:write"] as const, ...claims };
      return `Bearer ${signGrant(whole, key, new Date(clock.now().getTime() + lifeMs))}`;
    },
    object: (name) => call("GET", `/v1/objects/demo/${name}`, asRoot),
    keys: async () => {
      const { json } = await call("GET", "/v1/objects/demo", asRoot);
      return json.objects.map(({ key: name }) => name);
    },
    advance: (ms) => {
      aheadMs += ms;
    },
  };
}
