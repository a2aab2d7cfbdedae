// AWS Signature Version 4 with a whole payload: `Authorization` header, query and form. Signs the host,
// `content-md5`, `content-type` and every `x-amz-*` header, and no other: proxies rewrite the rest.

import { createHash, createHmac } from "node:crypto";
import { type QueryPair, sortedQuery } from "./encode.ts";
import {
  basicDate,
  headerLines,
  type RequestToSign,
  type Signature,
  type SigningScope,
  unsignedPayload,
} from "./signature.ts";

const algorithm = "AWS4-HMAC-SHA256";

export const sigV4: Signature = {
  headers(request, scope) {
    const { sessionToken } = scope.credentials;
    const headers: Record<string, string> = {
      ...request.headers,
      host: request.host,
      "x-amz-date": basicDate(scope.at),
      "x-amz-content-sha256": request.payloadHash,
      ...(sessionToken !== undefined && { "x-amz-security-token": sessionToken }),
    };
    const signed = Object.fromEntries(Object.entries(headers).filter(([name]) => isSigned(name)));
    const { signature, names } = signSigV4({ ...request, headers: signed }, scope);
    const parts = [
      `Credential=${scope.credentials.accessKeyId}/${scopeText(scope)}`,
      `SignedHeaders=${names}`,
      `Signature=${signature}`,
    ];
    return { ...headers, authorization: `${algorithm} ${parts.join(", ")}` };
  },

  query(request, scope) {
    const { accessKeyId, sessionToken } = scope.credentials;
    const headers = { ...request.headers, host: request.host };
    const names = headerLines(headers).map(([name]) => name);
    const query: readonly QueryPair[] = [
      ...request.query,
      ["X-Amz-Algorithm", algorithm],
      ["X-Amz-Credential", `${accessKeyId}/${scopeText(scope)}`],
      ["X-Amz-Date", basicDate(scope.at)],
      ["X-Amz-Expires", String(scope.expiresSeconds)],
      ["X-Amz-SignedHeaders", names.join(";")],
      ...(sessionToken === undefined
        ? []
        : [["X-Amz-Security-Token", sessionToken] satisfies QueryPair]),
    ];
    const toSign = { ...request, headers, query, payloadHash: unsignedPayload };
    return [...query, ["X-Amz-Signature", signSigV4(toSign, scope).signature]];
  },

  post({ expiresAt, conditions }, scope) {
    const { accessKeyId, sessionToken } = scope.credentials;
    const fields = {
      "x-amz-algorithm": algorithm,
      "x-amz-credential": `${accessKeyId}/${scopeText(scope)}`,
      "x-amz-date": basicDate(scope.at),
      ...(sessionToken !== undefined && { "x-amz-security-token": sessionToken }),
    };
    const covered = Object.entries(fields).map(([name, value]) => ({ [name]: value }));
    const document = {
      expiration: expiresAt.toISOString(),
      conditions: [...conditions, ...covered],
    };
    const policy = Buffer.from(JSON.stringify(document)).toString("base64");
    return { ...fields, policy, "x-amz-signature": signPolicy(policy, scope) };
  },
};

/** Signs exactly the headers given; the host has to be among them. */
export function signSigV4(
  request: Pick<RequestToSign, "method" | "path" | "query" | "headers" | "payloadHash">,
  scope: SigningScope,
): { readonly signature: string; readonly names: string; readonly canonicalRequest: string } {
  const lines = headerLines(request.headers);
  const names = lines.map(([name]) => name).join(";");
  const query = sortedQuery(request.query)
    .map(([name, value = ""]) => `${name}=${value}`)
    .join("&");
  const canonicalRequest = [
    request.method,
    request.path,
    query,
    ...lines.map(([name, value]) => `${name}:${value}`),
    "",
    names,
    request.payloadHash,
  ].join("\n");
  const text = [algorithm, basicDate(scope.at), scopeText(scope), sha256Hex(canonicalRequest)];
  const signature = hmac(signingKey(scope), text.join("\n")).toString("hex");
  return { signature, names, canonicalRequest };
}

/** Of the base64 text of a form's policy. */
export function signPolicy(policy: string, scope: SigningScope): string {
  return hmac(signingKey(scope), policy).toString("hex");
}

function isSigned(name: string): boolean {
  return (
    name === "host" ||
    name === "content-md5" ||
    name === "content-type" ||
    name.startsWith("x-amz-")
  );
}

function scopeText({ region, at }: SigningScope): string {
  return `${basicDate(at).slice(0, 8)}/${region}/s3/aws4_request`;
}

interface CachedKey {
  readonly secret: string;
  readonly day: string;
  readonly region: string;
  readonly key: Buffer;
}

/** Of the last secret, day and region: one storage signs thousands of requests with the same. */
let cachedKey: CachedKey | undefined;

function signingKey({ credentials, region, at }: SigningScope): Buffer {
  const day = basicDate(at).slice(0, 8);
  const secret = credentials.secretAccessKey;
  if (cachedKey?.secret === secret && cachedKey.day === day && cachedKey.region === region) {
    return cachedKey.key;
  }
  const steps = [day, region, "s3", "aws4_request"];
  const key = steps.reduce<Buffer>((left, step) => hmac(left, step), Buffer.from(`AWS4${secret}`));
  cachedKey = { secret, day, region, key };
  return key;
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
