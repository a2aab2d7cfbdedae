/** What can be uploaded from a browser. A Blob is sent by reference: its bytes never lie in the page. */
import { bytesSource, type RangedSource, type Source } from "../upload/source.ts";
import type { Digester } from "./digester.ts";

/** The second is made when an upload first asks for it. */
export interface Digesters {
  readonly crc64nvme: Digester;
  readonly sha256: () => Promise<Digester>;
}

/** What a browser can upload. */
export type BrowserSource =
  | Blob
  | Uint8Array
  | ArrayBuffer
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>;

export function openBrowserSource(
  digesters: Digesters,
  given: BrowserSource,
  length: number | undefined,
): Source {
  if (given instanceof Blob) return blobSource(digesters, given);
  if (given instanceof Uint8Array) return bytesSource(given);
  if (given instanceof ArrayBuffer) return bytesSource(new Uint8Array(given));
  const streams = given instanceof ReadableStream || Symbol.asyncIterator in Object(given);
  if (streams) {
    return { kind: "streamed", length, chunks: given };
  }
  throw new TypeError("the source is no Blob, bytes or stream");
}

function blobSource({ crc64nvme, sha256 }: Digesters, blob: Blob): RangedSource {
  const { name, lastModified }: { name?: unknown; lastModified?: unknown } = blob as object;
  const file = typeof name === "string" && typeof lastModified === "number";
  return {
    kind: "ranged",
    length: blob.size,
    ...(blob.type === "" ? {} : { contentType: blob.type }),
    ...(file
      ? { filename: name, identity: JSON.stringify(["file", name, blob.size, lastModified]) }
      : {}),
    piece(first, end) {
      const slice = blob.slice(first, end);
      // While it is sent; who does not ask for it does not hear of its failure.
      const crc = crc64nvme.digest(slice);
      crc.catch(() => {});
      return {
        body: {
          length: end - first,
          content: () => slice,
          async *open() {
            yield new Uint8Array(await slice.arrayBuffer());
          },
        },
        crc64nvme: () => crc,
      };
    },
    sha256: async ({ first, end, prefix }) =>
      await (await sha256()).digest(blob.slice(first, end), prefix),
  };
}
