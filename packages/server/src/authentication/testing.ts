/**
 * For the tests of this folder: AWS V4 as a client does it, written apart from what verifies it, for
 * requests whose path needs no encoding; and keys to verify it with.
 */
import { createHash, createHmac } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { AccessKeys } from "../core/access-keys.ts";
import type { Clock } from "../core/ports/clock.ts";
import { silentLog } from "../core/ports/log.ts";
import { createSealer } from "../core/sealing.ts";
import { openSqliteStore } from "../metadata/index.ts";

export const exampleKey = {
  id: "AKIAIOSFODNN7EXAMPLE",
  secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
} as const;

/** The instant of AWS's examples. */
export const exampleDate = "20130524T000000Z";
export const exampleNow = new Date("2013-05-24T00:00:00Z");

export const sha256 = (data: string | Uint8Array): string =>
  createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Uint8Array, text: string): Buffer =>
  createHmac("sha256", key).update(text).digest();

export interface SignerOptions {
  readonly id?: string;
  readonly secret?: string;
  readonly region?: string;
  /** `yyyymmddThhmmssZ` */
  readonly date?: string;
}

interface Signing {
  readonly key: Buffer;
  readonly date: string;
  readonly scope: string;
  readonly credential: string;
}

export function signing(options: SignerOptions = {}): Signing {
  const { id = exampleKey.id, secret = exampleKey.secret, region = "us-east-1" } = options;
  const { date = exampleDate } = options;
  const day = date.slice(0, 8);
  const key = [day, region, "s3", "aws4_request"].reduce<string | Buffer>(
    hmac,
    `AWS4${secret}`,
  ) as Buffer;
  const scope = `${day}/${region}/s3/aws4_request`;
  return { key, date, scope, credential: `${id}/${scope}` };
}

export interface ClientRequest {
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Signed, all of them, in lower case; `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
}

const encoded = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

function queryText(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => `${encoded(name)}=${encoded(value)}`);
  return pairs.sort().join("&");
}

function signatureOf(request: ClientRequest, hash: string, { key, date, scope }: Signing): string {
  const names = Object.keys(request.headers).sort();
  const canonical = [
    request.method,
    request.path,
    queryText(request.query ?? {}),
    ...names.map((name) => `${name}:${request.headers[name]}`),
    "",
    names.join(";"),
    hash,
  ].join("\n");
  return hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`).toString("hex");
}

export interface SignedHeaders {
  readonly headers: Readonly<Record<string, string>>;
  readonly signature: string;
}

/** The headers with date, payload hash and `Authorization`. */
export function signHeaders(
  request: ClientRequest,
  options: SignerOptions & { readonly hash?: string } = {},
): SignedHeaders {
  const by = signing(options);
  const hash = options.hash ?? "UNSIGNED-PAYLOAD";
  const headers = { ...request.headers, "x-amz-date": by.date, "x-amz-content-sha256": hash };
  const signature = signatureOf({ ...request, headers }, hash, by);
  const names = Object.keys(headers).sort().join(";");
  const authorization = `AWS4-HMAC-SHA256 Credential=${by.credential}, SignedHeaders=${names}, Signature=${signature}`;
  return { headers: { ...headers, authorization }, signature };
}

/** The target with everything in its query. */
export function presign(
  request: ClientRequest,
  options: SignerOptions & { readonly seconds?: number | string; readonly hash?: string } = {},
): string {
  const by = signing(options);
  const query = {
    ...request.query,
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": by.credential,
    "X-Amz-Date": by.date,
    "X-Amz-Expires": String(options.seconds ?? 86_400),
    "X-Amz-SignedHeaders": Object.keys(request.headers).sort().join(";"),
  };
  const hash = options.hash ?? "UNSIGNED-PAYLOAD";
  const signature = signatureOf({ ...request, query }, hash, by);
  return `${request.path}?${queryText(query)}&X-Amz-Signature=${signature}`;
}

/** A body in `aws-chunked`, signed from `seed` on unless that is left out. */
export function frame(
  chunks: readonly (string | Uint8Array)[],
  options: SignerOptions & {
    readonly seed?: string;
    /** `name:value`, without the line's end. */
    readonly trailer?: string;
  } = {},
): Buffer {
  const { key, date, scope } = signing(options);
  const { seed, trailer } = options;
  let previous = seed ?? "";
  const sign = (scheme: string, ...hashes: readonly string[]): string => {
    const text = [`AWS4-HMAC-SHA256-${scheme}`, date, scope, previous, ...hashes].join("\n");
    previous = hmac(key, text).toString("hex");
    return previous;
  };
  const line = (data: string | Uint8Array): string => {
    const size = Buffer.byteLength(data).toString(16);
    if (seed === undefined) return `${size}\r\n`;
    return `${size};chunk-signature=${sign("PAYLOAD", sha256(""), sha256(data))}\r\n`;
  };
  const pieces = chunks.flatMap((data) => [line(data), data, "\r\n"]);
  const last = line("");
  const trailers =
    trailer === undefined
      ? []
      : [
          `${trailer}\r\n`,
          ...(seed === undefined
            ? []
            : [`x-amz-trailer-signature:${sign("TRAILER", sha256(`${trailer}\n`))}\r\n`]),
        ];
  return Buffer.concat([...pieces, last, ...trailers, "\r\n"].map((piece) => Buffer.from(piece)));
}

/** Keys in a store of their own, the example's among them as the root. */
export async function openKeys(t: TestContext, clock: Clock): Promise<AccessKeys> {
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const folder = await mkdtemp(join(tmpdir(), "roma-keys-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "roma.sqlite");
  const metadata = opened.use(await openSqliteStore({ path, log: silentLog }));
  const keys = new AccessKeys({ metadata, sealer: createSealer(Buffer.alloc(32, 7)), clock });
  await keys.ensureRoot(exampleKey);
  return keys;
}

/** A clock that stands at the instant. */
export const clockAt = (now: Date): Clock => ({ now: () => now, monotonicMs: () => 0 });
