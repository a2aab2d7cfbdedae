/**
 * Refusals that S3 clients know by a code of their own, finer than ours: `code` is what every protocol
 * answers, `reason`, `status` and `fields` are S3's. Never carries a secret, a token or an expected
 * signature.
 */
import { type ErrorCode, type ErrorContext, OperationalError } from "../core/errors.ts";

interface Standing {
  readonly status: number;
  readonly code: ErrorCode;
}

/** S3's error codes with their status (AWS, "Error responses"), and the code of ours they refine. */
const reasons = {
  AccessDenied: { status: 403, code: "unauthenticated" },
  AuthorizationHeaderMalformed: { status: 400, code: "invalid_request" },
  AuthorizationQueryParametersError: { status: 400, code: "invalid_request" },
  ExpiredToken: { status: 400, code: "expired" },
  IncompleteBody: { status: 400, code: "incomplete_body" },
  InvalidAccessKeyId: { status: 403, code: "unauthenticated" },
  InvalidArgument: { status: 400, code: "invalid_request" },
  InvalidPolicyDocument: { status: 400, code: "invalid_request" },
  InvalidRequest: { status: 400, code: "invalid_request" },
  InvalidToken: { status: 403, code: "unauthenticated" },
  MalformedTrailerError: { status: 400, code: "invalid_request" },
  MissingContentLength: { status: 411, code: "invalid_request" },
  NotImplemented: { status: 501, code: "unsupported" },
  RequestTimeTooSkewed: { status: 403, code: "unauthenticated" },
  SignatureDoesNotMatch: { status: 403, code: "unauthenticated" },
} as const satisfies Readonly<Record<string, Standing>>;

export type S3Reason = keyof typeof reasons;

export interface S3RefusalOptions {
  /** Elements of S3's answer, in its spelling: `Region`, `HeadersNotSigned`, `ArgumentName`. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Where ours is another than the reason's usual one. */
  readonly code?: ErrorCode;
  /** Where S3's is another than the reason's usual one. */
  readonly status?: number;
  /** For every protocol. */
  readonly context?: ErrorContext;
  readonly cause?: unknown;
}

/** An operational error that also says how S3 names it. */
export class S3Refusal extends OperationalError {
  readonly reason: S3Reason;
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;

  constructor(reason: S3Reason, message: string, options: S3RefusalOptions = {}) {
    const standing = reasons[reason];
    const { context = {}, cause } = options;
    super(options.code ?? standing.code, message, { context, cause });
    this.reason = reason;
    this.status = options.status ?? standing.status;
    this.fields = options.fields ?? {};
  }
}

/** `InvalidArgument`, with the fields that S3 names in it. */
export function wrongArgument(name: string, what: string, value?: string): S3Refusal {
  return new S3Refusal("InvalidArgument", `${name} ${what}`, {
    fields: { ArgumentName: name, ...(value === undefined ? {} : { ArgumentValue: value }) },
  });
}
