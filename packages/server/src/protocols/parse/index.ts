/** Parse's files, as the server registers them. */
export { Applications } from "./applications.ts";
export { renderParseError } from "./errors.ts";
export { Replays } from "./replays.ts";
export { parseProtocol } from "./routes.ts";
export type { ParseServices } from "./services.ts";
export { Sessions } from "./sessions.ts";
