/** A web `ReadableStream` as a source, by its reader: not every browser can iterate one. */
import type { StreamedSource } from "./source.ts";

export function webStreamSource(
  stream: ReadableStream<Uint8Array>,
  length: number | undefined,
): StreamedSource {
  const reader = stream.getReader();
  return {
    kind: "streamed",
    length,
    chunks: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          yield value;
        }
      },
    },
    // What it says to that changes nothing.
    close: () => void reader.cancel().catch(() => {}),
  };
}
