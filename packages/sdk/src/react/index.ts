/** React: one upload of a component. */
export { type UploadHook, type Uploading, useUpload } from "./use-upload.ts";
