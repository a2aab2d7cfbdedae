/**
 * Signatures of requests, for tests: written from the specification and apart from what verifies them, so
 * that one cannot excuse the other.
 */
import { createHash, createHmac } from "node:crypto";

export interface SigningKey {
  readonly keyId: string;
  readonly secret: string;
}

export interface Unsigned {
  readonly method: string;
  /** Encoded as it goes out. */
  readonly target: string;
  /** `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | string;
}

/** The headers with the signature's own; `x-amz-content-sha256` is kept where it is given. */
export function signedHeaders(
  { method, target, headers, body }: Unsigned,
  key: SigningKey,
  now: Date,
  region = "us-east-1",
): Readonly<Record<string, string>> {
  const date = amzDate(now);
  const payload = headers["x-amz-content-sha256"] ?? sha256(body);
  const all: Record<string, string> = {
    ...Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    "x-amz-content-sha256": payload,
    "x-amz-date": headers["x-amz-date"] ?? date,
  };
  const names = Object.keys(all).toSorted().join(";");
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`;
  const signature = signatureOf(
    { method, target, headers: all, payload },
    { key, date: all["x-amz-date"] ?? date, scope },
  );
  const authorization =
    `AWS4-HMAC-SHA256 Credential=${key.keyId}/${scope}, ` +
    `SignedHeaders=${names}, Signature=${signature}`;
  return { ...all, authorization };
}

export interface Presigning {
  readonly now?: Date;
  /** How long it is good. */
  readonly seconds?: number;
}

/** The target as a presigned URL has it; all `headers`, in lower case, are signed. */
export function presigned(
  { method, target, headers }: Omit<Unsigned, "body">,
  key: SigningKey,
  { now = new Date(), seconds = 60 }: Presigning = {},
): string {
  const date = amzDate(now);
  const scope = `${date.slice(0, 8)}/us-east-1/s3/aws4_request`;
  const query = {
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${key.keyId}/${scope}`,
    "X-Amz-Date": date,
    "X-Amz-Expires": String(seconds),
    "X-Amz-SignedHeaders": Object.keys(headers).toSorted().join(";"),
  };
  const pairs = Object.entries(query).map(([name, value]) => `${name}=${encoded(value)}`);
  const whole = `${target}${target.includes("?") ? "&" : "?"}${pairs.join("&")}`;
  const unsigned = { method, target: whole, headers, payload: "UNSIGNED-PAYLOAD" };
  return `${whole}&X-Amz-Signature=${signatureOf(unsigned, { key, date, scope })}`;
}

interface ToSign extends Omit<Unsigned, "body"> {
  readonly payload: string;
}

function signatureOf(
  { method, target, headers, payload }: ToSign,
  by: { readonly key: SigningKey; readonly date: string; readonly scope: string },
): string {
  const names = Object.keys(headers).toSorted();
  const [path = "", query = ""] = split(target, "?");
  const canonical = [
    method,
    encoded(decodeURIComponent(path)).replaceAll("%2F", "/"),
    canonicalQuery(query),
    ...names.map((name) => `${name}:${headers[name]?.trim().replaceAll(/ +/g, " ")}`),
    "",
    names.join(";"),
    payload,
  ].join("\n");
  const text = ["AWS4-HMAC-SHA256", by.date, by.scope, sha256(bytesOf(canonical))].join("\n");
  const signing = by.scope
    .split("/")
    .reduce<Buffer | string>((previous, part) => hmac(previous, part), `AWS4${by.key.secret}`);
  return hmac(signing, text).toString("hex");
}

/** `yyyymmddThhmmssZ` */
export function amzDate(now: Date): string {
  return now.toISOString().replaceAll(/[-:]|\.\d+/g, "");
}

function canonicalQuery(query: string): string {
  const pairs = query.split("&").filter((pair) => pair !== "");
  return pairs
    .map((pair) => split(pair, "=").map((text) => encoded(decodeURIComponent(text))))
    .map(([name = "", value = ""]) => `${name}=${value}`)
    .toSorted()
    .join("&");
}

function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => {
    return `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
  });
}

function split(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function sha256(data: Buffer | string): string {
  return createHash("sha256").update(data).digest("hex");
}

function hmac(secret: Buffer | string, text: string): Buffer {
  return createHmac("sha256", secret).update(text).digest();
}

/** Headers are bytes that Node takes as Latin-1. */
function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

export interface UnsignedV2 {
  readonly method: string;
  /** Encoded as it goes out; what stands before the bucket among it. */
  readonly target: string;
  /** `/bucket/key`, as it goes out, with the parameters that are signed. */
  readonly resource: string;
  /** Signed, in lower case: `content-type`, `content-md5` and `x-amz-*`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The target with a signature of version 2. `expires` in seconds of Unix time. */
export function presignedV2(
  { method, target, resource, headers = {} }: UnsignedV2,
  { keyId, secret }: SigningKey,
  expires: number,
): string {
  const amz = Object.keys(headers).filter((name) => name.startsWith("x-amz-"));
  const lines = amz.toSorted().map((name) => `${name}:${headers[name]}`);
  const { "content-md5": md5 = "", "content-type": type = "" } = headers;
  const text = [method, md5, type, expires, ...lines, resource].join("\n");
  const query = new URLSearchParams({
    AWSAccessKeyId: keyId,
    Signature: createHmac("sha1", secret).update(text).digest("base64"),
    Expires: String(expires),
  });
  return `${target}${target.includes("?") ? "&" : "?"}${query}`;
}
