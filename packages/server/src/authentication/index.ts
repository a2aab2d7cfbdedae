/** The one gate that all protocols use: a request's credential in, its actor out. */
export { type AuthenticateOptions, authenticate, type Caller, type Gate } from "./authenticate.ts";
export { type AwsChunkedOptions, type DecodedBody, decodeAwsChunked } from "./aws-chunked.ts";
export { bucketOfHost } from "./bucket-host.ts";
export { assertMeant, isChange } from "./meant-environment.ts";
export { withOrigin } from "./origin.ts";
export { formKey, type LengthRange, type PostForm } from "./post-policy.ts";
export {
  presignForm,
  presignUrl,
  type TemporaryKey,
  temporaryKey,
} from "./presign.ts";
export { refusalOf } from "./refused.ts";
export { authenticateS3Form, type S3FormCaller } from "./s3-form.ts";
export { type S3Reason, S3Refusal } from "./s3-refusal.ts";
export { authenticateS3, type S3Caller, type S3Gate, type S3Place } from "./s3-request.ts";
export { assertNoSignedBody, withSignedBody } from "./signed-body.ts";
export type { SignedPayload, StreamingPayload } from "./signed-payload.ts";
export { temporarySecret } from "./signer.ts";
