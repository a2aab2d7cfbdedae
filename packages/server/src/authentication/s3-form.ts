/**
 * The gate for forms that a browser posts: the policy's signature in the form's own fields, V4's or V2's,
 * then the policy itself. A form without a policy is anybody's, and refused.
 */
import type { Actor } from "../core/access.ts";
import { assertPolicy, type LengthRange, type PostForm, parsePostPolicy } from "./post-policy.ts";
import { S3Refusal } from "./s3-refusal.ts";
import { onlyV4, type S3Gate } from "./s3-request.ts";
import { claimedBy, openSigner, type Signer } from "./signer.ts";
import { isSignedV2 } from "./sigv2-query.ts";
import {
  amzDate,
  hmac,
  isSignature,
  parseAmzDate,
  parseCredential,
  signingKey,
  sigV4Scheme,
  sigV4SkewMsMax,
} from "./sigv4-key.ts";

export interface S3FormCaller {
  /** Without its origin, which the form does not know (`withOrigin`). */
  readonly actor: Actor;
  /** What the policy allows of the file's length, to be kept by who reads it. */
  readonly lengthRange?: LengthRange;
}

/**
 * `InvalidArgument` for a field that is missing, `SignatureDoesNotMatch` and its kin, and what
 * `parsePostPolicy` and `assertPolicy` refuse. Everything but the file's length is checked then.
 */
export async function authenticateS3Form(
  gate: Pick<S3Gate, "accessKeys" | "clock" | "region" | "signatureV2">,
  form: PostForm,
): Promise<S3FormCaller> {
  const { fields } = form;
  if (!fields.has("policy")) {
    throw new S3Refusal("AccessDenied", "a form without a policy is refused");
  }
  const isV2 = fields.has("awsaccesskeyid") || fields.has("signature");
  if (isV2 && !gate.signatureV2) throw onlyV4();
  const now = gate.clock.now();
  const signer = isV2 ? await signerOfV2(gate, fields) : await signerOfV4(gate, fields, now);
  const policy = parsePostPolicy(required(fields, "policy"));
  assertPolicy(policy, form, now);
  const actor = await signer.actor("POST");
  return policy.lengthRange === undefined ? { actor } : { actor, lengthRange: policy.lengthRange };
}

type Fields = PostForm["fields"];

/** How old the day of a signing key may be. */
const keyLifetimeMsMax = 7 * 24 * 60 * 60 * 1000;

async function signerOfV4(
  { accessKeys, region }: Pick<S3Gate, "accessKeys" | "region">,
  fields: Fields,
  now: Date,
): Promise<Signer> {
  if (required(fields, "x-amz-algorithm") !== sigV4Scheme) {
    throw new S3Refusal("InvalidRequest", `x-amz-algorithm is not ${sigV4Scheme}`);
  }
  const scope = parseCredential(required(fields, "x-amz-credential"), {
    reason: "InvalidArgument",
    name: "x-amz-credential",
    region,
  });
  const date = parseAmzDate(required(fields, "x-amz-date"));
  if (date === undefined || amzDate(date).slice(0, 8) !== scope.day) {
    throw new S3Refusal("InvalidArgument", "x-amz-date is not the instant of x-amz-credential", {
      fields: { ArgumentName: "x-amz-date" },
    });
  }
  const ageMs = now.getTime() - date.getTime();
  if (ageMs < -sigV4SkewMsMax || ageMs > keyLifetimeMsMax) {
    throw new S3Refusal("AccessDenied", "x-amz-date is not of the last 7 days");
  }
  const signature = required(fields, "x-amz-signature");
  const signer = await openSigner(accessKeys, scope.keyId, fields.get("x-amz-security-token"));
  const key = signingKey(signer ?? { secret: "" }, scope);
  // The text as received is what is signed, line ends and all.
  const expected = hmac(key, required(fields, "policy"));
  const matches = /^[0-9a-f]{64}$/.test(signature) && isSignature(expected, signature);
  return proven(signer, matches);
}

async function signerOfV2(
  { accessKeys }: Pick<S3Gate, "accessKeys">,
  fields: Fields,
): Promise<Signer> {
  const keyId = required(fields, "awsaccesskeyid");
  const signature = required(fields, "signature");
  const policy = required(fields, "policy");
  const signer = await openSigner(accessKeys, keyId, fields.get("x-amz-security-token"));
  return proven(signer, isSignedV2(signer?.secret ?? "", policy, signature));
}

function proven(signer: Signer | undefined, matches: boolean): Signer {
  if (signer !== undefined && matches) return signer;
  const refusal = new S3Refusal(
    signer === undefined ? "InvalidAccessKeyId" : "SignatureDoesNotMatch",
    "the key id is unknown or the signature is wrong",
  );
  throw claimedBy(signer, refusal);
}

function required(fields: Fields, name: string): string {
  const value = fields.get(name);
  if (value !== undefined && value !== "") return value;
  throw new S3Refusal("InvalidArgument", `Bucket POST must contain a field named '${name}'`, {
    fields: { ArgumentName: name, ArgumentValue: "" },
  });
}
