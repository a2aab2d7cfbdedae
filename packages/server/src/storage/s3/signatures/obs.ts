// Huawei OBS's own signature (HMAC-SHA1): header, query and form. The key stands encoded in the signed
// text; of the query only what names a sub-resource or changes the answer is signed.

import { createHmac } from "node:crypto";
import { encodeKey, type QueryPair } from "./encode.ts";
import {
  headerLines,
  policyText,
  type RequestToSign,
  type Signature,
  type SigningScope,
} from "./signature.ts";

const signedNames: ReadonlySet<string> = new Set(
  [
    "acl append backtosource cors delete encryption lifecycle location logging metadata modify name",
    "notification partnumber policy position quota rename replication requestpayment",
    "response-cache-control response-content-disposition response-content-encoding",
    "response-content-language response-content-type response-expires restore storageclass",
    "storagepolicy storageinfo tagging torrent truncate uploadid uploads versionid versioning",
    "versions website x-image-process x-oss-process x-image-save-bucket x-image-save-object",
    "x-obs-security-token",
  ].flatMap((line) => line.split(" ")),
);

export const obs: Signature = {
  headers(request, scope) {
    const { accessKeyId, sessionToken } = scope.credentials;
    const headers: Record<string, string> = {
      ...request.headers,
      date: scope.at.toUTCString(),
      ...(sessionToken !== undefined && { "x-obs-security-token": sessionToken }),
    };
    const { signature } = signObs({ ...request, headers }, headers.date ?? "", scope);
    return { ...headers, host: request.host, authorization: `OBS ${accessKeyId}:${signature}` };
  },

  query(request, scope) {
    const { accessKeyId, sessionToken } = scope.credentials;
    const expires = String(Math.floor(scope.at.getTime() / 1000) + scope.expiresSeconds);
    const query: readonly QueryPair[] = [
      ...request.query,
      ...(sessionToken === undefined
        ? []
        : [["x-obs-security-token", sessionToken] satisfies QueryPair]),
    ];
    const { signature } = signObs({ ...request, query }, expires, scope);
    return [...query, ["AccessKeyId", accessKeyId], ["Expires", expires], ["Signature", signature]];
  },

  post(policy, scope) {
    const { accessKeyId, sessionToken } = scope.credentials;
    const token = sessionToken === undefined ? {} : { "x-obs-security-token": sessionToken };
    const text = policyText(policy, token);
    return { ...token, AccessKeyId: accessKeyId, policy: text, signature: hmacSha1(text, scope) };
  },
};

/** `date` is what stands in the Date line: the header's value, or when an address expires. */
export function signObs(
  request: Pick<RequestToSign, "method" | "bucket" | "key" | "query" | "headers">,
  date: string,
  scope: Pick<SigningScope, "credentials">,
): { readonly signature: string; readonly stringToSign: string } {
  const lines = headerLines(request.headers);
  const headerOf = (wanted: string): string => lines.find(([name]) => name === wanted)?.[1] ?? "";
  const stringToSign = [
    request.method,
    headerOf("content-md5"),
    headerOf("content-type"),
    date,
    ...lines
      .filter(([name]) => name.startsWith("x-obs-"))
      .map(([name, value]) => `${name}:${value}`),
    resourceOf(request),
  ].join("\n");
  return { signature: hmacSha1(stringToSign, scope), stringToSign };
}

function resourceOf({
  bucket,
  key = "",
  query,
}: Pick<RequestToSign, "bucket" | "key" | "query">): string {
  const named = query
    .filter(([name]) => signedNames.has(name.toLowerCase()) || name.startsWith("x-obs-"))
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => (value === undefined || value === "" ? name : `${name}=${value}`));
  const path = `/${bucket}/${encodeKey(key)}`;
  return named.length === 0 ? path : `${path}?${named.join("&")}`;
}

function hmacSha1(text: string, { credentials }: Pick<SigningScope, "credentials">): string {
  return createHmac("sha1", credentials.secretAccessKey).update(text).digest("base64");
}
