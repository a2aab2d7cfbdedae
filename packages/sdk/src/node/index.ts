/** The SDK for Node: `Roma`, and everything of the platform-free part. */
export * from "../index.ts";
export {
  type DownloadedFile,
  type DownloadFileOptions,
  removeTemporaries,
} from "./download-file.ts";
export { defaultStateFolder, FileResumeStore } from "./file-resume-store.ts";
export { type NodeRomaOptions, Roma } from "./roma.ts";
export type { NodeSource } from "./sources.ts";
export type { TransportLimits } from "./transport.ts";
