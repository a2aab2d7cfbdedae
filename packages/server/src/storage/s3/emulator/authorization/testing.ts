// For tests: proves the signature of a request to the emulator as the vendor would, from what arrived.

import type { IncomingMessage } from "node:http";
import type { QueryPair } from "../../signatures/encode.ts";
import { signObs } from "../../signatures/obs.ts";
import { signOssV4 } from "../../signatures/oss-v4.ts";
import { signSigV4 } from "../../signatures/sigv4.ts";

export interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface ArrivedRequest {
  readonly request: IncomingMessage;
  readonly bucket: string;
  readonly key: string | undefined;
  /** As sent, still encoded. */
  readonly path: string;
  readonly query: readonly QueryPair[];
}

export interface AuthorizationRules {
  readonly key: Key;
  readonly region: string;
  readonly now: Date;
}

const skewMsMax = 15 * 60_000;

/** The code of the refusal; undefined if the request is proven. */
export function refusalOf(arrived: ArrivedRequest, rules: AuthorizationRules): string | undefined {
  const { authorization = "" } = arrived.request.headers;
  const names = arrived.query.map(([name]) => name);
  if (authorization.startsWith("AWS4-HMAC-SHA256 ")) return byHeaderV4(arrived, rules);
  if (authorization.startsWith("OSS4-HMAC-SHA256 ")) return byHeaderOss(arrived, rules);
  if (authorization.startsWith("OBS ")) return byHeaderObs(arrived, rules);
  if (names.includes("X-Amz-Signature")) return byQueryV4(arrived, rules);
  if (names.includes("x-oss-signature")) return byQueryOss(arrived, rules);
  if (names.includes("Signature")) return byQueryObs(arrived, rules);
  return "AccessDenied";
}

function byHeaderV4(arrived: ArrivedRequest, rules: AuthorizationRules): string | undefined {
  const { headers, method = "" } = arrived.request;
  const { authorization = "" } = headers;
  const pattern =
    /Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=(\w+)/;
  const [, id, , region = "", signed = "", signature] = pattern.exec(authorization) ?? [];
  const hash = textOf(headers["x-amz-content-sha256"]);
  const at = instantOf(textOf(headers["x-amz-date"]));
  const common = commonRefusal(id, at, textOf(headers["x-amz-security-token"]), rules);
  if (common !== undefined) return common;
  if (region !== rules.region) return "AuthorizationHeaderMalformed";
  const names = signed.split(";");
  const unsigned = Object.keys(headers).filter(
    (name) => name.startsWith("x-amz-") && !names.includes(name),
  );
  if (unsigned.length > 0 || !names.includes("host")) return "AccessDenied";
  const computed = signSigV4(
    { ...arrived, method, headers: pick(headers, names), payloadHash: hash },
    { credentials: rules.key, region, at },
  );
  return computed.signature === signature ? undefined : "SignatureDoesNotMatch";
}

function byQueryV4(arrived: ArrivedRequest, rules: AuthorizationRules): string | undefined {
  const { headers, method = "" } = arrived.request;
  const values = new Map(arrived.query);
  const [id, , region = ""] = (values.get("X-Amz-Credential") ?? "").split("/");
  const at = instantOf(values.get("X-Amz-Date") ?? "");
  const common = commonRefusal(id, rules.now, values.get("X-Amz-Security-Token") ?? "", rules);
  if (common !== undefined) return common;
  const endsAt = at.getTime() + Number(values.get("X-Amz-Expires")) * 1000;
  if (!(rules.now.getTime() < endsAt)) return "AccessDenied";
  const names = (values.get("X-Amz-SignedHeaders") ?? "").split(";");
  const query = arrived.query.filter(([name]) => name !== "X-Amz-Signature");
  const computed = signSigV4(
    { ...arrived, query, method, headers: pick(headers, names), payloadHash: "UNSIGNED-PAYLOAD" },
    { credentials: rules.key, region, at },
  );
  return computed.signature === values.get("X-Amz-Signature") ? undefined : "SignatureDoesNotMatch";
}

function byHeaderOss(arrived: ArrivedRequest, rules: AuthorizationRules): string | undefined {
  const { headers, method = "" } = arrived.request;
  const pattern =
    /Credential=([^/]+)\/\d{8}\/([^/]+)\/oss\/aliyun_v4_request,(?:AdditionalHeaders=([^,]+),)?Signature=(\w+)/;
  const [, id, region = "", additional = "", signature] =
    pattern.exec(headers.authorization ?? "") ?? [];
  const at = instantOf(textOf(headers["x-oss-date"]));
  const common = commonRefusal(id, at, textOf(headers["x-oss-security-token"]), rules);
  if (common !== undefined) return common;
  if (headers["x-oss-content-sha256"] !== "UNSIGNED-PAYLOAD") return "InvalidArgument";
  const names = additional === "" ? [] : additional.split(";");
  // `?uploads=`, as OSS's SDK for Node sends it, is signed as `?uploads`.
  const query = arrived.query.map(([name, value]): QueryPair => [name, value || undefined]);
  const computed = signOssV4(
    { ...keyed(arrived), query, method, headers: pick(headers, Object.keys(headers)) },
    { credentials: rules.key, region, at },
    names,
  );
  return computed.signature === signature ? undefined : "SignatureDoesNotMatch";
}

function byQueryOss(arrived: ArrivedRequest, rules: AuthorizationRules): string | undefined {
  const { headers, method = "" } = arrived.request;
  const values = new Map(arrived.query);
  const [id, , region = ""] = (values.get("x-oss-credential") ?? "").split("/");
  const at = instantOf(values.get("x-oss-date") ?? "");
  const common = commonRefusal(id, rules.now, values.get("x-oss-security-token") ?? "", rules);
  if (common !== undefined) return common;
  const endsAt = at.getTime() + Number(values.get("x-oss-expires")) * 1000;
  if (!(rules.now.getTime() < endsAt)) return "AccessDenied";
  const query = arrived.query.filter(([name]) => name !== "x-oss-signature");
  const names = (values.get("x-oss-additional-headers") ?? "").split(";").filter(Boolean);
  const computed = signOssV4(
    { ...keyed(arrived), query, method, headers: pick(headers, Object.keys(headers)) },
    { credentials: rules.key, region, at },
    names,
  );
  return computed.signature === values.get("x-oss-signature") ? undefined : "SignatureDoesNotMatch";
}

function byHeaderObs(arrived: ArrivedRequest, rules: AuthorizationRules): string | undefined {
  const { headers, method = "" } = arrived.request;
  const [id, signature] = (headers.authorization ?? "").slice(4).split(":");
  const date = headers.date ?? "";
  const token = textOf(headers["x-obs-security-token"]);
  const common = commonRefusal(id, new Date(date), token, rules);
  if (common !== undefined) return common;
  const toSign = { ...keyed(arrived), method, headers: pick(headers, Object.keys(headers)) };
  const computed = signObs(toSign, date, { credentials: rules.key });
  return computed.signature === signature ? undefined : "SignatureDoesNotMatch";
}

function byQueryObs(arrived: ArrivedRequest, rules: AuthorizationRules): string | undefined {
  const { headers, method = "" } = arrived.request;
  const values = new Map(arrived.query);
  const expires = values.get("Expires") ?? "";
  const token = values.get("x-obs-security-token") ?? "";
  const common = commonRefusal(values.get("AccessKeyId"), rules.now, token, rules);
  if (common !== undefined) return common;
  if (Number(expires) * 1000 < rules.now.getTime()) return "AccessDenied";
  const toSign = { ...keyed(arrived), method, headers: pick(headers, Object.keys(headers)) };
  const computed = signObs(toSign, expires, { credentials: rules.key });
  return computed.signature === values.get("Signature") ? undefined : "SignatureDoesNotMatch";
}

function commonRefusal(
  id: string | undefined,
  at: Date,
  token: string,
  { key, now }: AuthorizationRules,
): string | undefined {
  if (id !== key.accessKeyId) return "InvalidAccessKeyId";
  if (token !== (key.sessionToken ?? "")) return "ExpiredToken";
  const near = Math.abs(at.getTime() - now.getTime()) < skewMsMax;
  return near ? undefined : "RequestTimeTooSkewed";
}

function keyed({ key, ...arrived }: ArrivedRequest) {
  return { ...arrived, ...(key !== undefined && { key }) };
}

function instantOf(text: string): Date {
  return new Date(text.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
}

function pick(headers: IncomingMessage["headers"], names: readonly string[]) {
  return Object.fromEntries(names.map((name) => [name, textOf(headers[name])]));
}

function textOf(value: string | string[] | undefined): string {
  return Array.isArray(value) ? value.join(",") : (value ?? "");
}
