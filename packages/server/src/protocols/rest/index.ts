/** The REST protocol under `/v1`. */
export { objectPath } from "./address.ts";
export { errorTable, renderRestError } from "./errors.ts";
export { openapiDocument } from "./openapi.ts";
export { ossCallbackUrl } from "./oss-callback.ts";
export { OssKeys } from "./oss-keys.ts";
export { refuseRoute } from "./refuse.ts";
export { restProtocol } from "./routes.ts";
export type { RestServices } from "./services.ts";
