/** The half of `Roma` that pages need which only upload: at most 12 KB of their bundle. */
import { UploadClient } from "../upload-client.ts";
import { type BrowserRomaOptions, browserPlatform } from "./platform.ts";
import type { BrowserSource } from "./sources.ts";

/** `Roma` with nothing but `upload`. */
export class Uploader extends UploadClient<BrowserSource> {
  constructor(options: BrowserRomaOptions) {
    super(browserPlatform(options), options);
  }
}
