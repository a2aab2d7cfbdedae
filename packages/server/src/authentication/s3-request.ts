/**
 * The gate of the S3 interface: one step before every handler and for every kind of body, so that no
 * route can forget it. The identity comes out of a verified signature and of nothing else.
 */
import assert from "node:assert/strict";
import type { FastifyRequest } from "fastify";
import { type Actor, anonymous } from "../core/access.ts";
import type { AccessKeys } from "../core/access-keys.ts";
import type { Clock } from "../core/ports/clock.ts";
import { publicOrigin } from "../http/index.ts";
import { bucketOfHost } from "./bucket-host.ts";
import {
  type HeaderValues,
  headerValues,
  type SignedRequest,
  splitTarget,
} from "./canonical-request.ts";
import { S3Refusal, wrongArgument } from "./s3-refusal.ts";
import { parsePayloadHash, type SignedPayload, unsignedPayload } from "./signed-payload.ts";
import { openSigner, type Signer } from "./signer.ts";
import { verifySigV4 } from "./sigv4.ts";
import { sigV4Scheme } from "./sigv4-key.ts";
import { isPresigned, type PresignedParameters, verifySigV4Query } from "./sigv4-query.ts";
import type { SignedAddress, SigV4Options } from "./sigv4-signature.ts";

export interface S3Gate {
  readonly accessKeys: AccessKeys;
  readonly clock: Clock;
  /** The server's own; signatures for `us-east-1` and `auto` are taken as well. */
  readonly region: string;
  /** Where clients reach the server, if that is configured. */
  readonly publicUrl?: string;
  /** Under which a bucket is a label of the host, in lower case: `s3.example`. */
  readonly domains: readonly string[];
}

export interface S3Caller {
  readonly actor: Actor;
  /** How the body comes, and what it must be; `decodeAwsChunked` reads one that is framed. */
  readonly payload: SignedPayload;
  /**
   * Headers that a presigned URL carries in its signed query instead, by lower-case name: metadata, tags.
   * Checksums are not among them (SDKs sign that of an empty body), nor is what names another object.
   */
  readonly hoisted: ReadonlyMap<string, string>;
}

/**
 * `unauthenticated`, `invalid_request`, `unsupported`, `access_denied` for a method that a temporary key
 * does not permit; each with S3's code. A request without any credential is anonymous.
 */
export async function authenticateS3(gate: S3Gate, request: FastifyRequest): Promise<S3Caller> {
  const headers = headerValues(request.raw.rawHeaders);
  const caller = await callerOf(gate, request, headers);
  assertFraming(caller.payload, headers);
  return caller;
}

async function callerOf(
  gate: S3Gate,
  request: FastifyRequest,
  headers: HeaderValues,
): Promise<S3Caller> {
  const authorizations = headers.get("authorization") ?? [];
  const [authorization] = authorizations;
  const { method } = request;
  const signed: SignedRequest = {
    method,
    target: request.raw.url ?? "",
    rawHeaders: request.raw.rawHeaders,
  };
  const presigned = isPresigned(signed.target);
  assertNoV2Query(signed.target);
  if (authorization === undefined && !presigned) return anonymousCaller(headers);
  if (authorizations.length + (presigned ? 1 : 0) > 1) {
    throw wrongArgument("Authorization", "is not the only credential of the request");
  }
  let signer: Signer | undefined;
  const options: SigV4Options = {
    now: gate.clock.now(),
    region: gate.region,
    addresses: () => otherAddresses(gate, request),
    signerOf: async (keyId, token) => {
      signer = await openSigner(gate.accessKeys, keyId, token);
      return signer;
    },
  };
  if (authorization !== undefined) assertV4(authorization);
  const verified =
    authorization === undefined
      ? await verifySigV4Query(signed, options)
      : { ...(await verifySigV4(signed, options)), parameters: new Map<string, string>() };
  assert(signer !== undefined);
  const actor = await signer.actor(method);
  assertNoHiddenSource(verified.parameters, headers);
  return { actor, payload: verified.payload, hoisted: hoistedFrom(verified.parameters) };
}

function anonymousCaller(headers: HeaderValues): S3Caller {
  const [hash = unsignedPayload, ...others] = headers.get("x-amz-content-sha256") ?? [];
  if (others.length > 0) throw wrongArgument("x-amz-content-sha256", "must be there once");
  const declared = parsePayloadHash(hash);
  if (declared.kind !== "streaming")
    return { actor: anonymous, payload: declared, hoisted: new Map() };
  if (declared.signed) {
    throw new S3Refusal("AccessDenied", "signed chunks need a signed request");
  }
  const payload: SignedPayload = { kind: "streaming", signed: false, trailer: true };
  return { actor: anonymous, payload, hoisted: new Map() };
}

const onlyV4 =
  "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";

/** In AWS's words, which s3cmd looks for. */
function assertV4(authorization: string): void {
  const [scheme = ""] = authorization.trim().split(" ", 1);
  if (scheme === sigV4Scheme) return;
  if (scheme === "") throw new S3Refusal("AccessDenied", "Authorization is empty");
  if (/^AWS(?:4-|$)/.test(scheme)) throw new S3Refusal("InvalidRequest", onlyV4);
  throw wrongArgument("Authorization", "is of a type that is not supported");
}

function assertNoV2Query(target: string): void {
  const { query } = splitTarget(target);
  if (/(?:^|&)(?:AWSAccessKeyId|Signature)=/.test(query))
    throw new S3Refusal("InvalidRequest", onlyV4);
}

/** Without the framing's own word for the body, the framing would be stored as data. */
function assertFraming({ kind }: SignedPayload, headers: HeaderValues): void {
  const codings = (headers.get("content-encoding") ?? []).join(",").toLowerCase();
  if (kind !== "unsigned" || !codings.split(",").some((item) => item.trim() === "aws-chunked")) {
    return;
  }
  throw wrongArgument(
    "x-amz-content-sha256",
    "must be a STREAMING- value for Content-Encoding aws-chunked",
    unsignedPayload,
  );
}

/** How proxies may have changed the address: by the configuration, or by those that are trusted. */
function otherAddresses(gate: S3Gate, request: FastifyRequest): readonly SignedAddress[] {
  const { publicUrl, domains } = gate;
  const received = request.raw.headers.host ?? "";
  const origins = [
    publicOrigin(request),
    ...(publicUrl === undefined ? [] : [publicOrigin(request, { publicUrl })]),
  ];
  return (
    origins
      .map((origin): SignedAddress => {
        const [, host = "", prefix = ""] = /^[a-z]+:\/\/([^/]*)(.*)$/i.exec(origin) ?? [];
        return { host, prefix };
      })
      .filter(({ host, prefix }) => host !== received || prefix !== "")
      // Signed for one bucket's host and sent to another's, it would lead to what nobody signed.
      .filter(({ host }) => bucketOfHost(host, domains) === bucketOfHost(received, domains))
  );
}

/** What belongs to the signature itself, or would name another object than the URL does. */
const notHoisted =
  /^x-amz-(?:algorithm|credential|date|expires|signedheaders|signature|security-token|content-sha256|checksum-.*|sdk-.*|copy-source.*|rename-source.*)$/;

/**
 * A copy whose source, or a condition on it, is in the query alone is not made; and without it the request
 * would mean a plain write.
 */
function assertNoHiddenSource(parameters: PresignedParameters, headers: HeaderValues): void {
  for (const name of parameters.keys()) {
    if (!/^x-amz-(?:copy|rename)-source/.test(name) || headers.has(name)) continue;
    throw new S3Refusal("NotImplemented", `${name} must be sent as a header too`, {
      fields: { Header: name },
    });
  }
}

function hoistedFrom(parameters: PresignedParameters): ReadonlyMap<string, string> {
  return new Map([...parameters].filter(([name]) => !notHoisted.test(name)));
}
