/**
 * A program that uploads one file with the SDK, in a process of its own: what it holds can be measured,
 * and it can be killed. Arguments: a JSON of `UploadTask`. Prints JSON lines, the last one with the result.
 */
import { createReadStream, readdirSync } from "node:fs";
import { Roma, type UploadNotice } from "@roma/sdk/node";

export interface UploadTask {
  readonly endpoint: string;
  readonly token: string;
  readonly path: string;
  readonly bucket: string;
  readonly key: string;
  /** `stream` hides the length. */
  readonly as: "path" | "stream";
  /** A folder. */
  readonly resume?: string;
  /** It kills itself, once so many have left and something is remembered in `resume`. */
  readonly killAtBytes?: number;
}

export type UploadLine =
  | { readonly notice: UploadNotice["code"] }
  | {
      readonly done: { readonly size: number; readonly crc64nvme: string };
      /** Above what was used before the upload began. */
      readonly heapBytes: number;
      readonly residentBytes: number;
    };

function print(line: UploadLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const task = JSON.parse(process.argv[2] ?? "") as UploadTask;
const { killAtBytes = Number.POSITIVE_INFINITY, resume = "" } = task;
const remembered = () => readdirSync(resume).some((name) => name.endsWith(".json"));
await using roma = new Roma({
  endpoint: task.endpoint,
  token: task.token,
  resume: task.resume ?? false,
});
// Connections and code are there before the measuring begins.
await roma.upload(Buffer.from("x"), { bucket: task.bucket, key: "warm" }).done();
globalThis.gc?.();
const before = process.memoryUsage();
let heapBytes = 0;
let residentBytes = 0;
const sample = () => {
  const now = process.memoryUsage();
  heapBytes = Math.max(heapBytes, now.heapUsed - before.heapUsed);
  residentBytes = Math.max(residentBytes, now.rss - before.rss);
};
const timer = setInterval(sample, 20);
const source = task.as === "path" ? task.path : createReadStream(task.path);
const upload = roma.upload(source, {
  bucket: task.bucket,
  key: task.key,
  onProgress({ bytes }) {
    if (bytes < killAtBytes || !remembered()) return;
    process.kill(process.pid, "SIGKILL");
  },
  onNotice: ({ code }) => print({ notice: code }),
});
const { size, checksums } = await upload.done();
sample();
clearInterval(timer);
print({ done: { size, crc64nvme: checksums.crc64nvme }, heapBytes, residentBytes });
