/**
 * What can be uploaded from Node: files, bytes and streams. Nothing is held but the chunk on its way;
 * a file that changes while it is read fails the upload instead of storing a mixture.
 */
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { bytesBody } from "../caller.ts";
import { crc64Nvme } from "../crc64-nvme.ts";
import { RomaError } from "../errors.ts";
import type { Body } from "../transport.ts";

const chunkBytes = 256 * 1024;

/** Bytes, a `file:` URL, a stream or other iterable of bytes, or a body such as `fileBody` makes. */
export type NodeSource = Uint8Array | URL | AsyncIterable<Uint8Array> | Body;

/** The body for a source. `length` is for streams, whose length only the caller can know. */
export function toBody(source: NodeSource, length: number | undefined): Body {
  if (source instanceof Uint8Array) {
    return { ...bytesBody(source), crc64nvme: crc64Nvme(source) };
  }
  if (source instanceof URL) return fileBody(fileURLToPath(source));
  if (Symbol.asyncIterator in source) return streamBody(source, length);
  return source;
}

/**
 * A file, read anew for each attempt. Give `length` when it is known from a look at the folder: it
 * is then announced to the server, and the file must still have it.
 */
export function fileBody(path: string, { length }: { readonly length?: number } = {}): Body {
  return { length, repeatable: true, open: () => readFileOnce(path, length) };
}

async function* readFileOnce(
  path: string,
  length: number | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  await using file = await open(path).catch((cause: unknown) => {
    throw sourceError(path, cause);
  });
  const before = await file.stat();
  if (!before.isFile()) throw new RomaError("source_failed", `${path} is not a file`);
  let held: Uint8Array | undefined;
  let position = 0;
  for (;;) {
    const chunk = Buffer.allocUnsafeSlow(chunkBytes);
    const { bytesRead } = await file.read(chunk, 0, chunkBytes, null).catch((cause: unknown) => {
      throw sourceError(path, cause);
    });
    if (bytesRead === 0) break;
    position += bytesRead;
    if (held !== undefined) yield held;
    held = chunk.subarray(0, bytesRead);
  }
  // The last chunk waits for this check: without it the server has an incomplete body, and stores
  // nothing.
  const after = await file.stat();
  if (
    position !== (length ?? before.size) ||
    after.size !== before.size ||
    after.mtimeMs !== before.mtimeMs
  ) {
    throw new RomaError("source_failed", `${path} changed while it was read; upload it again`);
  }
  if (held !== undefined) yield held;
}

/** A stream: read once, so a failed attempt is repeated only if no byte of it was taken. */
export function streamBody(source: AsyncIterable<Uint8Array>, length?: number): Body {
  return {
    length,
    repeatable: false,
    async *open(signal) {
      const end = () => {
        if (source instanceof Readable) source.destroy();
      };
      signal.addEventListener("abort", end, { once: true });
      try {
        for await (const chunk of source) yield chunk;
      } catch (cause) {
        throw sourceError("the stream", cause);
      } finally {
        signal.removeEventListener("abort", end);
      }
    },
  };
}

function sourceError(name: string, cause: unknown): RomaError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RomaError("source_failed", `${name} cannot be read: ${reason}`, { cause });
}
