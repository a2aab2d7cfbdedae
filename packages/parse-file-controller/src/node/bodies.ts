/**
 * What is uploaded, a chunk at a time: bytes and base64 by slices, which can be sent again, and streams, which cannot.
 * Nothing here is newer than Node 10.
 */
import type { Readable } from "node:stream";
import type { FileSource } from "../sdk.ts";

export interface UploadBody {
  /** Bytes; `null` where nobody knows. */
  readonly length: number | null;
  /** Whether `open` gives the same bytes again. */
  readonly repeatable: boolean;
  open(): OpenBody;
}

export interface OpenBody {
  /** The next chunk; `null` at the end. Rejects when the source fails. */
  next(): Promise<Uint8Array | null>;
  /** Nobody wants the rest. */
  close(): void;
}

const chunkBytes = 64 * 1024;

/** Throws a `TypeError` for what cannot be uploaded. */
export function bodyOf(source: FileSource): UploadBody {
  const { buffer, base64, file, stream } = source;
  if (buffer instanceof Uint8Array) return bytesBody(buffer);
  if (typeof base64 === "string") return base64Body(base64);
  if (file !== undefined) return streamBody(file.stream(), file.size);
  if (isReadable(stream) || isWebStream(stream)) return streamBody(stream, null);
  throw new TypeError(`a file of the format ${source.format} cannot be uploaded from Node`);
}

function bytesBody(bytes: Uint8Array): UploadBody {
  return slicedBody(bytes.length, (at, end) => bytes.subarray(at, end));
}

/** Decoded as it is sent: beside the text itself, memory holds one slice. */
function base64Body(text: string): UploadBody {
  const letters = text.replace(/=+$/, "").length;
  // Spaces and line ends, which some put into base64: then its length says nothing.
  if (/[^A-Za-z0-9+/=_-]/.test(text)) return bytesBody(Buffer.from(text, "base64"));
  const slice = (at: number) => (at / 3) * 4;
  return slicedBody(Math.floor((letters * 3) / 4), (at, end) =>
    Buffer.from(text.slice(slice(at), Math.ceil(slice(end))), "base64"),
  );
}

// Of both: a multiple of 3, so that a slice of base64 begins with a whole group.
const sliceBytes = chunkBytes - (chunkBytes % 3);

function slicedBody(length: number, slice: (at: number, end: number) => Uint8Array): UploadBody {
  return {
    length,
    repeatable: true,
    open() {
      let at = 0;
      return {
        async next() {
          if (at >= length) return null;
          const end = Math.min(length, at + sliceBytes);
          const chunk = slice(at, end);
          at = end;
          return chunk;
        },
        close() {},
      };
    },
  };
}

function streamBody(stream: Readable | ReadableStream, length: number | null): UploadBody {
  const open = () => (isReadable(stream) ? openReadable(stream) : openWebStream(stream));
  return { length, repeatable: false, open };
}

function openReadable(stream: Readable): OpenBody {
  let failure: Error | undefined;
  let over: "ended" | "closed" | undefined;
  let wake = () => {};
  stream.on("readable", () => wake());
  stream.on("end", () => {
    over = "ended";
    wake();
  });
  stream.on("error", (error) => {
    failure = error;
    wake();
  });
  stream.on("close", () => {
    if (over === undefined) over = "closed";
    wake();
  });
  return {
    async next() {
      for (;;) {
        if (failure !== undefined) throw failure;
        const chunk: unknown = stream.read();
        if (chunk !== null) return bytesOf(chunk);
        if (over === "ended") return null;
        if (over === "closed") throw new Error("the stream was closed before its end");
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    close: () => void stream.destroy(),
  };
}

function openWebStream(stream: ReadableStream): OpenBody {
  const reader = stream.getReader();
  return {
    async next() {
      const { done, value }: { done: boolean; value?: unknown } = await reader.read();
      return done ? null : bytesOf(value);
    },
    close() {
      reader.cancel().catch(() => {});
    },
  };
}

function bytesOf(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === "string") return Buffer.from(chunk);
  throw new TypeError("the stream gives something else than bytes");
}

function isReadable(value: unknown): value is Readable {
  return hasMethods(value, ["pipe", "read", "on", "destroy"]);
}

function isWebStream(value: unknown): value is ReadableStream {
  return hasMethods(value, ["getReader"]);
}

function hasMethods(value: unknown, names: readonly string[]): boolean {
  if (typeof value !== "object" || value === null) return false;
  return names.every((name) => typeof Reflect.get(value, name) === "function");
}
