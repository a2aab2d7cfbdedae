/** The HTTP layer as protocols and the server use it. */
export {
  declaredLength,
  hasBody,
  type ReceivedBody,
  type ReceiveOptions,
  receiveBody,
  receiveBytes,
} from "./body.ts";
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
export { allowCors, type CorsOptions } from "./cors.ts";
export { requestSignal } from "./deadline.ts";
export {
  formatDigestHeader,
  parseContentMd5,
  parseDigestHeader,
  parseWantDigest,
  requestDigests,
} from "./digest-headers.ts";
export { contentDisposition, safeFilename } from "./disposition.ts";
export {
  errorHandler,
  problemContentType,
  problemDocument,
  type RenderError,
  type Rendered,
  renderProblem,
} from "./problem.ts";
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
export { closeHttp, createHttp, type HttpOptions } from "./server.ts";
