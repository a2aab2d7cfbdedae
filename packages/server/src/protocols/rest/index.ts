/** The REST protocol under `/v1`. */
export { errorTable, renderRestError } from "./errors.ts";
export { openapiDocument } from "./openapi.ts";
export { refuseRoute } from "./refuse.ts";
export { restProtocol } from "./routes.ts";
export type { RestServices } from "./services.ts";
