/** For pages: files are sent as they are, by XMLHttpRequest, which tells how many bytes have left. */

import type { FileControllerOptions, ParseSdk } from "../sdk.ts";
import { createFileController } from "./controller.ts";

export type {
  FileController,
  FileControllerOptions,
  FileOptions,
  FileSource,
  ParseSdk,
} from "../sdk.ts";
export { createFileController };

/** From now on files of this SDK go to `filesURL`, a `File` or `Blob` without being read into memory. */
export function install(parse: ParseSdk, options: FileControllerOptions = {}): void {
  parse.CoreManager.setFileController(createFileController(parse, options));
}
