/** The REST protocol under `/v1`. */
export { errorTable } from "./errors.ts";
export { openapiDocument } from "./openapi.ts";
export { restProtocol } from "./routes.ts";
export type { RestServices } from "./services.ts";
