// AWS Signature Version 4 with a whole payload: `Authorization` header, query and form. Signs the host,
// `content-md5`, `content-type` and every `x-amz-*` header, and no other: proxies rewrite the rest.

import { type QueryPair, sortedQuery } from "./encode.ts";
import {
  basicDate,
  headerLines,
  type RequestToSign,
  type Signature,
  type SigningScope,
  unsignedPayload,
} from "./signature.ts";
import { version4 } from "./version-4.ts";

const algorithm = "AWS4-HMAC-SHA256";

export const awsVersion4 = version4({
  algorithm,
  prefix: "x-amz-",
  algorithmField: "algorithm",
  secretPrefix: "AWS4",
  service: "s3",
  terminator: "aws4_request",
});

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
      `Credential=${awsVersion4.credential(scope)}`,
      `SignedHeaders=${names}`,
      `Signature=${signature}`,
    ];
    return { ...headers, authorization: `${algorithm} ${parts.join(", ")}` };
  },

  query(request, scope) {
    const { sessionToken } = scope.credentials;
    const headers = { ...request.headers, host: request.host };
    const names = headerLines(headers).map(([name]) => name);
    const query: readonly QueryPair[] = [
      ...request.query,
      ["X-Amz-Algorithm", algorithm],
      ["X-Amz-Credential", awsVersion4.credential(scope)],
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

  post: awsVersion4.post,
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
  const signature = awsVersion4.signRequest(canonicalRequest, scope);
  return { signature, names, canonicalRequest };
}

function isSigned(name: string): boolean {
  return (
    name === "host" ||
    name === "content-md5" ||
    name === "content-type" ||
    name.startsWith("x-amz-")
  );
}
