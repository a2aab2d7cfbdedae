/**
 * For Node, from 10 on. `install` makes an SDK stream its files; where there is no `import`, the same is in
 * `require("@roma/parse-file-controller/dist/node.cjs")`.
 */
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

/**
 * From now on files of this SDK go to `filesURL`, streamed, with progress of the bytes that have left. Also replaces
 * the SDK's own base64 encoder, which takes a call and a string for each six bits of an array of bytes.
 */
export function install(parse: ParseSdk, options: FileControllerOptions = {}): void {
  parse.CoreManager.setFileController(createFileController(parse, options));
  parse.File.encodeBase64 = (bytes) => Buffer.from(bytes).toString("base64");
}

/**
 * A file whose bytes are a stream, for SDKs before 8.2, which take none: `Parse.File` with everything that it has.
 * Needs `install`. Newer ones take the stream itself.
 */
export function fileOfStream(
  parse: ParseSdk,
  name: string,
  stream: NodeJS.ReadableStream,
  type = "",
): object {
  const file = new parse.File(name, { base64: "" }, type);
  return Object.assign(file, { _data: undefined, _source: { format: "stream", stream, type } });
}
