/** The S3 interface as the server registers it. */
export { type S3Config, s3Config } from "./config.ts";
export { renderS3Error } from "./errors.ts";
export { s3Protocol } from "./routes.ts";
export type { S3Services } from "./services.ts";
