/**
 * The gate of the S3 interface: one step before every handler and for every kind of body, so that no
 * route can forget it. The identity comes out of a verified signature and of nothing else.
 */
import assert from "node:assert/strict";
import type { FastifyRequest } from "fastify";
import { type Actor, anonymous } from "../core/access.ts";
import type { AccessKeys } from "../core/access-keys.ts";
import type { Clock } from "../core/ports/clock.ts";
import {
  type HeaderValues,
  headerValues,
  type SignedRequest,
  splitTarget,
} from "./canonical-request.ts";
import { beginOrigin, withOrigin } from "./origin.ts";
import { S3Refusal, wrongArgument } from "./s3-refusal.ts";
import { signedAddresses } from "./signed-addresses.ts";
import { parsePayloadHash, type SignedPayload, unsignedPayload } from "./signed-payload.ts";
import { claimedBy, openSigner, type Signer } from "./signer.ts";
import { isPresignedV2, verifySigV2Query } from "./sigv2-query.ts";
import { signedResources } from "./sigv2-resource.ts";
import { verifySigV4 } from "./sigv4.ts";
import { sigV4Scheme } from "./sigv4-key.ts";
import { isPresigned, type PresignedParameters, verifySigV4Query } from "./sigv4-query.ts";
import type { SigV4Options } from "./sigv4-signature.ts";

export interface S3Gate {
  readonly accessKeys: AccessKeys;
  readonly clock: Clock;
  /** The server's own; signatures for `us-east-1` and `auto` are taken as well. */
  readonly region: string;
  /** Where clients reach the server, if that is configured. */
  readonly publicUrl?: string;
  /** Under which a bucket is a label of the host, in lower case: `s3.example`. */
  readonly domains: readonly string[];
  /** Whether presigned URLs and forms that are signed by version 2, with SHA-1, are taken. */
  readonly signatureV2: boolean;
}

/** Where the request found the S3 interface, and how that reads its query. */
export interface S3Place {
  /** What stands before the bucket in the path: `/s3`, or empty. */
  readonly basePath: string;
  /** Names of the query that say what is meant. */
  readonly subResources: ReadonlySet<string>;
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
export async function authenticateS3(
  gate: S3Gate,
  request: FastifyRequest,
  place: S3Place,
): Promise<S3Caller> {
  const headers = headerValues(request.raw.rawHeaders);
  const origin = beginOrigin(request, "s3");
  const caller = await callerOf(gate, request, { headers, place });
  assertFraming(caller.payload, headers);
  return { ...caller, actor: withOrigin(caller.actor, request, origin) };
}

async function callerOf(
  gate: S3Gate,
  request: FastifyRequest,
  { headers, place }: { readonly headers: HeaderValues; readonly place: S3Place },
): Promise<S3Caller> {
  const { method } = request;
  const { rawHeaders, url: target = "" } = request.raw;
  const signed: SignedRequest = { method, target, rawHeaders };
  const credential = credentialOf(gate, target, headers);
  if (credential === "none") return anonymousCaller(headers);
  let signer: Signer | undefined;
  const options: SigV4Options = {
    now: gate.clock.now(),
    region: gate.region,
    addresses: () => signedAddresses(request, { ...gate, ...place }),
    signerOf: async (keyId, token) => {
      signer = await openSigner(gate.accessKeys, keyId, token);
      return signer;
    },
  };
  const verifying = verified(signed, {
    ...{ credential, options },
    resources: () =>
      signedResources({
        ...{ path: splitTarget(target).path, host: request.raw.headers.host ?? "" },
        ...{ domains: gate.domains, basePath: place.basePath },
      }),
    subResources: place.subResources,
  });
  const { payload, parameters } = await verifying.catch((error: unknown) => {
    throw claimedBy(signer, error);
  });
  assert(signer !== undefined);
  const actor = await signer.actor(method);
  assertNoHiddenSource(parameters, headers);
  return { actor, payload, hoisted: hoistedFrom(parameters) };
}

type Credential = "none" | "header" | "query-v4" | "query-v2";

/** `InvalidArgument` for two of them; AWS's words for version 2 where it is not taken. */
function credentialOf(gate: S3Gate, target: string, headers: HeaderValues): Credential {
  const authorizations = headers.get("authorization") ?? [];
  const found: readonly Credential[] = [
    ...authorizations.map(() => "header" as const),
    ...(isPresigned(target) ? ["query-v4" as const] : []),
    ...(isPresignedV2(target) ? ["query-v2" as const] : []),
  ];
  const [credential = "none", second] = found;
  if (second !== undefined) {
    throw wrongArgument("Authorization", "is not the only credential of the request");
  }
  if (credential === "header") assertV4(authorizations[0] ?? "");
  if (credential === "query-v2" && !gate.signatureV2) throw onlyV4();
  return credential;
}

interface Verification {
  readonly credential: Exclude<Credential, "none">;
  readonly options: SigV4Options;
  /** As V2 signs them. */
  readonly resources: () => readonly string[];
  readonly subResources: ReadonlySet<string>;
}

async function verified(
  signed: SignedRequest,
  { credential, options, resources, subResources }: Verification,
): Promise<{ readonly payload: SignedPayload; readonly parameters: PresignedParameters }> {
  switch (credential) {
    case "header":
      return { ...(await verifySigV4(signed, options)), parameters: new Map() };
    case "query-v4":
      return verifySigV4Query(signed, options);
    case "query-v2":
      return verifySigV2Query(signed, { ...options, resources: resources(), subResources });
  }
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

/** In AWS's words, which s3cmd looks for. */
export function onlyV4(): S3Refusal {
  return new S3Refusal(
    "InvalidRequest",
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
  );
}

function assertV4(authorization: string): void {
  const [scheme = ""] = authorization.trim().split(" ", 1);
  if (scheme === sigV4Scheme) return;
  if (scheme === "") throw new S3Refusal("AccessDenied", "Authorization is empty");
  if (/^AWS(?:4-|$)/.test(scheme)) throw onlyV4();
  throw wrongArgument("Authorization", "is of a type that is not supported");
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
