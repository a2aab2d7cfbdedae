/** Names on the wire, shared by the server, the SDK, the command line and the console. */
export type * from "./bulk-delete.ts";
export type * from "./direct.ts";
export * from "./environment.ts";
export * from "./errors.ts";
export * from "./limits.ts";
export * from "./rest.ts";
export type * from "./trash.ts";
