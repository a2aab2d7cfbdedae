/**
 * What can be uploaded from Node: files, bytes, Blobs and streams. Nothing is held but the chunks on
 * their way; a file that changes while it is read fails the upload instead of storing a mixture.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { type RunningDigest, startCrc64Nvme } from "../digests/crc64-nvme.ts";
import { RomaError, sourceError } from "../errors.ts";
import {
  bytesSource,
  type DigestedRange,
  type RangedSource,
  type Source,
  type StreamedSource,
} from "../upload/source.ts";

const chunkBytes = 256 * 1024;

/**
 * What Node can upload: a path or a `file:` URL, bytes, a `Blob` or `File`, a stream of Node's or the
 * web's, or any other async iterable of bytes.
 */
export type NodeSource =
  | string
  | URL
  | Uint8Array
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>;

export async function openNodeSource(
  given: NodeSource,
  { length }: { readonly length?: number },
): Promise<Source> {
  if (typeof given === "string" || given instanceof URL) {
    return await openFile(typeof given === "string" ? resolve(given) : fileURLToPath(given));
  }
  if (given instanceof Uint8Array) return bytesSource(given);
  if (given instanceof Blob) return blobSource(given);
  if (given instanceof ReadableStream) return { kind: "streamed", length, chunks: given };
  if (typeof given === "object" && Symbol.asyncIterator in given) {
    return streamSource(given, length);
  }
  throw new TypeError("the source is no path, bytes, Blob or stream");
}

function startNodeSha256(): RunningDigest {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}

function streamSource(
  chunks: AsyncIterable<Uint8Array>,
  length: number | undefined,
): StreamedSource {
  if (!(chunks instanceof Readable)) return { kind: "streamed", length, chunks };
  return { kind: "streamed", length, chunks, close: () => void chunks.destroy() };
}

function blobSource(blob: Blob): RangedSource {
  const readable: RangedBytes = {
    name: "the Blob",
    length: blob.size,
    async *read(first, end) {
      for (let at = first; at < end; at += chunkBytes) {
        const slice = blob.slice(at, Math.min(end, at + chunkBytes));
        yield new Uint8Array(await slice.arrayBuffer());
      }
    },
  };
  return {
    ...readableSource(readable),
    ...(blob.type === "" ? {} : { contentType: blob.type }),
    ...("name" in blob && typeof blob.name === "string" ? { filename: blob.name } : {}),
  };
}

async function openFile(path: string): Promise<RangedSource | StreamedSource> {
  const before = await stat(path).catch((cause: unknown) => {
    throw sourceError(path, cause);
  });
  if (before.isDirectory()) throw new RomaError("source_failed", `${path} is a folder`);
  if (!before.isFile()) return await openPipe(path);
  const file: FileAsItWas = { path, before, free: [] };
  const readable: RangedBytes = {
    name: path,
    length: before.size,
    read: (first, end) => readFileRange(file, first, end),
  };
  return {
    ...readableSource(readable),
    filename: basename(path),
    identity: JSON.stringify(["file", path, before.size, before.mtimeMs, before.ino]),
  };
}

/** A pipe or a device: what comes out of it is a stream. */
async function openPipe(path: string): Promise<StreamedSource> {
  const file = await open(path).catch((cause: unknown) => {
    throw sourceError(path, cause);
  });
  const stream = file.createReadStream();
  return {
    ...{ kind: "streamed", length: undefined, chunks: stream, filename: basename(path) },
    close: () => void stream.destroy(),
  };
}

interface RangedBytes {
  readonly name: string;
  readonly length: number;
  read(first: number, end: number): AsyncIterable<Uint8Array>;
}

/** Bytes that are digested as they are sent. */
function readableSource({ length, read }: RangedBytes): RangedSource {
  return {
    kind: "ranged",
    length,
    piece(first, end) {
      let known: string | undefined;
      const pass = async function* () {
        const crc = startCrc64Nvme();
        for await (const chunk of read(first, end)) {
          crc.update(chunk);
          yield chunk;
        }
        known = crc.hex();
      };
      return {
        body: { length: end - first, open: pass },
        async crc64nvme() {
          if (known === undefined) for await (const _ of pass());
          return known ?? "";
        },
      };
    },
    async sha256({ first, end, prefix, onBytes, signal }: DigestedRange) {
      const sha = startNodeSha256();
      if (prefix !== undefined) sha.update(prefix);
      for await (const chunk of read(first, end)) {
        signal.throwIfAborted();
        sha.update(chunk);
        onBytes?.(chunk.length);
      }
      return sha.hex();
    },
  };
}

interface FileAsItWas {
  readonly path: string;
  readonly before: { readonly size: number; readonly mtimeMs: number; readonly ino: number };
  /** Two for each range that is read, used again: garbage of this size would pile up. */
  readonly free: Buffer[];
}

async function* readFileRange(
  as: FileAsItWas,
  first: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { path, free } = as;
  await using file = await open(path).catch((cause: unknown) => {
    throw sourceError(path, cause);
  });
  const bytes = Math.min(chunkBytes, end - first);
  const take = () => free.pop() ?? Buffer.allocUnsafeSlow(Math.min(chunkBytes, as.before.size));
  let [buffer, other] = [take(), take()];
  try {
    let held: Uint8Array | undefined;
    for (let at = first; at < end; ) {
      const wanted = Math.min(bytes, end - at);
      const { bytesRead } = await file.read(buffer, 0, wanted, at).catch((cause: unknown) => {
        throw sourceError(path, cause);
      });
      if (bytesRead === 0) throw changed(path);
      at += bytesRead;
      if (held !== undefined) yield held;
      held = buffer.subarray(0, bytesRead);
      [buffer, other] = [other, buffer];
    }
    // The last chunk waits for this check: without it the server has an incomplete body, and stores
    // nothing.
    await assertUnchanged(file, as);
    if (held !== undefined) yield held;
  } finally {
    free.push(buffer, other);
  }
}

async function assertUnchanged(file: FileHandle, { path, before }: FileAsItWas): Promise<void> {
  const now = await file.stat();
  if (now.size !== before.size || now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) {
    throw changed(path);
  }
}

function changed(path: string): RomaError {
  return new RomaError("source_failed", `${path} changed while it was read; upload it again`);
}
