// Alibaba OSS's own signature, version 4 (`OSS4-HMAC-SHA256`): header, query and form. It signs the whole
// query, so `x-oss-process`, `callback` and the like are bound to the address. The bucket is part of
// the signed path although it stands in the host name.

import { encodeKey, type QueryPair, queryText } from "./encode.ts";
import {
  basicDate,
  headerLines,
  type RequestToSign,
  type Signature,
  type SigningScope,
  unsignedPayload,
} from "./signature.ts";
import { version4 } from "./version-4.ts";

const algorithm = "OSS4-HMAC-SHA256";

export const ossVersion4 = version4({
  algorithm,
  prefix: "x-oss-",
  algorithmField: "signature-version",
  secretPrefix: "aliyun_v4",
  service: "oss",
  terminator: "aliyun_v4_request",
});

export const ossV4: Signature = {
  headers(request, scope) {
    const { sessionToken } = scope.credentials;
    const headers: Record<string, string> = {
      ...request.headers,
      "x-oss-date": basicDate(scope.at),
      "x-oss-content-sha256": unsignedPayload,
      ...(sessionToken !== undefined && { "x-oss-security-token": sessionToken }),
    };
    const { signature } = signOssV4({ ...request, headers }, scope);
    const credential = ossVersion4.credential(scope);
    const authorization = `${algorithm} Credential=${credential},Signature=${signature}`;
    return { ...headers, host: request.host, authorization };
  },

  query(request, scope) {
    const { sessionToken } = scope.credentials;
    const additional = headerLines(request.headers)
      .map(([name]) => name)
      .filter((name) => !isSignedByItself(name));
    const query: readonly QueryPair[] = [
      ...request.query,
      ["x-oss-signature-version", algorithm],
      ["x-oss-credential", ossVersion4.credential(scope)],
      ["x-oss-date", basicDate(scope.at)],
      ["x-oss-expires", String(scope.expiresSeconds)],
      ...pairIf("x-oss-security-token", sessionToken),
      ...pairIf("x-oss-additional-headers", additional.join(";") || undefined),
    ];
    const { signature } = signOssV4({ ...request, query }, scope, additional);
    return [...query, ["x-oss-signature", signature]];
  },

  post: ossVersion4.post,
};

/** Signs `content-type`, `content-md5`, every `x-oss-*` header and those named in `additional`. */
export function signOssV4(
  request: Pick<RequestToSign, "method" | "bucket" | "key" | "query" | "headers">,
  scope: SigningScope,
  additional: readonly string[] = [],
): { readonly signature: string; readonly canonicalRequest: string } {
  const { bucket, key = "" } = request;
  const lines = headerLines(request.headers).filter(
    ([name]) => isSignedByItself(name) || additional.includes(name),
  );
  const canonicalRequest = [
    request.method,
    encodeKey(`/${bucket}/${key}`),
    queryText(request.query),
    ...lines.map(([name, value]) => `${name}:${value}`),
    "",
    additional.toSorted().join(";"),
    unsignedPayload,
  ].join("\n");
  return { signature: ossVersion4.signRequest(canonicalRequest, scope), canonicalRequest };
}

/** What OSS calls after an upload; goes into the header `x-oss-callback`, or `callback` of a query or form. */
export interface OssCallback {
  readonly url: string;
  /** With `${bucket}`, `${object}`, `${etag}`, `${size}`, `${mimeType}` and `${x:name}`. */
  readonly body: string;
  readonly bodyType?: "application/x-www-form-urlencoded" | "application/json";
  readonly host?: string;
  /** Whether TLS names the host, which servers of several names need; OSS's default is not to. */
  readonly sni?: boolean;
}

export function ossCallbackValue({ url, body, bodyType, host, sni }: OssCallback): string {
  const value = {
    callbackUrl: url,
    ...(host !== undefined && { callbackHost: host }),
    callbackBody: body,
    ...(bodyType !== undefined && { callbackBodyType: bodyType }),
    ...(sni !== undefined && { callbackSNI: sni }),
  };
  return Buffer.from(JSON.stringify(value)).toString("base64");
}

/** Goes into `x-oss-callback-var` or `callback-var`; names begin with `x:`. */
export function ossCallbackVariables(variables: Readonly<Record<`x:${string}`, string>>): string {
  return Buffer.from(JSON.stringify(variables)).toString("base64");
}

function isSignedByItself(name: string): boolean {
  return name === "content-type" || name === "content-md5" || name.startsWith("x-oss-");
}

function pairIf(name: string, value: string | undefined): readonly QueryPair[] {
  return value === undefined ? [] : [[name, value]];
}
