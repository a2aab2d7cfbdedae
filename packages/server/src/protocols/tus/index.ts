/** The tus 1.0 protocol as the server registers it. */
export { tusProtocol } from "./routes.ts";
export type { TusServices } from "./services.ts";
