/** The HTTP layer as protocols and the server use it. */
export { currentBudget } from "./ambient.ts";
export {
  declaredLength,
  hasBody,
  type ReceivedBody,
  type ReceiveOptions,
  receiveBody,
  receiveBytes,
} from "./body.ts";
export { type ClientAddress, clientAddress } from "./client-address.ts";
export {
  type ConditionHeaders,
  type EntityTag,
  type EntityTags,
  entityTagMatches,
  evaluateConditions,
  parseEntityTags,
  parseHttpDate,
  rangeApplies,
  type Validators,
  type Verdict,
  type WritePreconditions,
  writePreconditions,
} from "./conditions.ts";
export { type HttpConfig, httpConfig } from "./config.ts";
export type { ContentAccess } from "./content-policy.ts";
export { isContentType } from "./content-type.ts";
export { allowCors, type CorsPolicy } from "./cors.ts";
export { requestScope, requestSignal, whileRunning } from "./deadline.ts";
export {
  formatDigestHeader,
  parseContentMd5,
  parseDigestHeader,
  parseWantDigest,
  requestDigests,
} from "./digest-headers.ts";
export { contentDisposition, safeFilename } from "./disposition.ts";
export { sendInformation } from "./information.ts";
export {
  etagField,
  metadataHeaders,
  reprDigest,
  type ShownObject,
  sendObject,
  storedHeaderNames,
  storedHeaders,
} from "./object-response.ts";
export { Overload } from "./overload/index.ts";
export { withinPatience } from "./patience.ts";
export {
  errorHandler,
  problemContentType,
  problemDocument,
  type RenderError,
  type Rendered,
  renderProblem,
} from "./problem.ts";
export { isPublicUrl, type PublicOriginOptions, publicOrigin } from "./public-url.ts";
export { badParameter, hasQuery, percentDecoded, queryInteger, queryValue } from "./query.ts";
export {
  type ByteRange,
  contentRange,
  contentRangeUnsatisfiable,
  type MultipartRanges,
  multipartRanges,
  parseRange,
  type RangeResult,
  rangeUnsatisfiable,
} from "./ranges.ts";
export { type SendOptions, type SendResult, sendBody } from "./send-body.ts";
export { sendLines } from "./send-lines.ts";
export { closeHttp, createHttp, type HttpOptions } from "./server.ts";
