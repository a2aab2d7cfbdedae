/** What Uppy asks of a Companion for S3, as the server registers it. */
export { companionProtocol } from "./routes.ts";
export type { CompanionServices } from "./services.ts";
