/** The SDK for Node: `createClient`, and everything of the platform-free part. */
export * from "../index.ts";
export { type ClientOptions, createClient, type NodeClient } from "./client.ts";
export { fileBody, type NodeSource, streamBody } from "./sources.ts";
export type { TransportLimits } from "./transport.ts";
