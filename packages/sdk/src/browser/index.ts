/** The SDK for browsers: `Roma`, and everything of the platform-free part. */
export * from "../index.ts";
export { DatabaseResumeStore } from "./database-store.ts";
export type { BrowserRomaOptions } from "./platform.ts";
export { Roma } from "./roma.ts";
export type { BrowserSource } from "./sources.ts";
export { Uploader } from "./uploader.ts";
