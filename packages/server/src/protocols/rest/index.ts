/** The REST protocol under `/v1`. */
export { objectPath } from "./address.ts";
export { errorTable, renderRestError } from "./errors.ts";
export { openapiDocument } from "./openapi.ts";
export { refuseRoute } from "./refuse.ts";
export { restProtocol } from "./routes.ts";
export type { RestServices } from "./services.ts";
