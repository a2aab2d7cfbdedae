// What a storage's refusal says about its settings: which of them is wrong, and what to do. Drivers keep
// the vendor's code as `vendorCode` and the connection's as `connection` in an error's context.

import { isOperationalError, type OperationalError } from "../../core/errors.ts";

export interface Diagnosis {
  /** The setting to look at; absent where the failure does not tell. */
  readonly setting?: string;
  readonly reason: string;
}

const vendorCodes: Readonly<Record<string, Required<Diagnosis>>> = {
  AuthorizationHeaderMalformed: { setting: "region", reason: "the bucket is in another region" },
  IllegalLocationConstraintException: {
    setting: "region",
    reason: "the bucket is in another region",
  },
  PermanentRedirect: {
    setting: "endpoint",
    reason: "the bucket is served at another endpoint, or in another region",
  },
  TemporaryRedirect: { setting: "endpoint", reason: "the bucket is served at another endpoint" },
  SecondLevelDomainForbidden: {
    setting: "addressStyle",
    reason: "the vendor takes the bucket in the host name only: virtual",
  },
  PathStyleDomainForbidden: {
    setting: "addressStyle",
    reason: "the vendor takes the bucket in the host name only: virtual",
  },
  InvalidBucketName: {
    setting: "addressStyle",
    reason: "the bucket's name is wrong, or looked for in the wrong place: virtual or path",
  },
  MethodNotAllowed: {
    setting: "addressStyle",
    reason: "the address is not that of a bucket: virtual or path",
  },
  NoSuchKey: {
    setting: "addressStyle",
    reason: "a write is taken for another address: the bucket's name is missing in the host name",
  },
  NoSuchBucket: { setting: "bucket", reason: "there is no such bucket at this endpoint" },
  SignatureDoesNotMatch: {
    setting: "secretAccessKey",
    reason: "the signature is not taken: the secret is wrong, or vendor or signature",
  },
  InvalidAccessKeyId: { setting: "accessKeyId", reason: "the storage does not know this key" },
  InvalidToken: { setting: "sessionToken", reason: "the token is wrong" },
  ExpiredToken: { setting: "sessionToken", reason: "the token has expired" },
  SecurityTokenExpired: { setting: "sessionToken", reason: "the token has expired" },
  AccessDenied: {
    setting: "accessKeyId",
    reason: "this key may not do that in this bucket: give it get, put, delete, list and multipart",
  },
  Forbidden: { setting: "accessKeyId", reason: "this key may not do that in this bucket" },
  RequestTimeTooSkewed: { setting: "clock", reason: "this machine's clock is wrong" },
  XAmzContentSHA256Mismatch: {
    setting: "vendor",
    reason: "the storage reads requests in another way than this vendor's",
  },
  MissingArgument: { setting: "vendor", reason: "the storage asks for more than this vendor does" },
  MissingContentMD5: {
    setting: "vendor",
    reason: "the storage asks for more than this vendor does",
  },
  NotImplemented: { setting: "vendor", reason: "the storage does not know this vendor's requests" },
};

const connectionCodes: Readonly<Record<string, Required<Diagnosis>>> = {
  ENOTFOUND: {
    setting: "endpoint",
    reason: "its name is not known: the endpoint, the region in it, or addressStyle is wrong",
  },
  EAI_AGAIN: { setting: "endpoint", reason: "its name cannot be looked up at the moment" },
  ECONNREFUSED: { setting: "endpoint", reason: "nothing listens there" },
  EHOSTUNREACH: { setting: "endpoint", reason: "there is no way to it" },
  ENETUNREACH: { setting: "endpoint", reason: "there is no way to it" },
  EPROTO: { setting: "endpoint", reason: "it does not speak TLS: http instead of https" },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    setting: "endpoint",
    reason: "it does not speak TLS: http instead of https",
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: { setting: "endpoint", reason: "its certificate is self-signed" },
  SELF_SIGNED_CERT_IN_CHAIN: { setting: "endpoint", reason: "its certificate is self-signed" },
  CERT_HAS_EXPIRED: { setting: "endpoint", reason: "its certificate has expired" },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    setting: "addressStyle",
    reason: "its certificate is for another host name: with dots in a bucket's name use path",
  },
};

/** Always an answer: without a better one, the error's own message. */
export function diagnose(error: unknown): Diagnosis {
  if (!isOperationalError(error)) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
  const { vendorCode, connection } = error.context;
  const known = lookUp(vendorCodes, vendorCode) ?? lookUp(connectionCodes, connection);
  if (known === undefined) return { reason: withCode(error) };
  return { setting: known.setting, reason: `${known.reason} (${vendorCode ?? connection})` };
}

function lookUp(
  table: Readonly<Record<string, Required<Diagnosis>>>,
  code: unknown,
): Required<Diagnosis> | undefined {
  return typeof code === "string" && Object.hasOwn(table, code) ? table[code] : undefined;
}

function withCode({ code, message }: OperationalError): string {
  return `${message} [${code}]`;
}
