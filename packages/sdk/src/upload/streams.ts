/** Streams: gathered piece by piece, in parts where the length is known, else appended. */
import { RomaError } from "../errors.ts";
import { bytesBody } from "../transport.ts";
import { type AppendSupply, gatherBytes, uploadAppending } from "./append.ts";
import { signsNothing, uploadDirect } from "./direct.ts";
import { type Gathered, Gatherer, gatheredPiece } from "./gatherer.ts";
import type { Job, Stored } from "./job.ts";
import { type PartSupply, PartsTooLarge } from "./part-supply.ts";
import { bytesSource, type RangedSource, type StreamedSource } from "./source.ts";

/** What is held at once. */
const heldBytesMax = 64 * 1024 * 1024;

/** `sendRanged` is for a stream that turns out to be short. */
export async function sendStream(
  job: Job,
  source: StreamedSource,
  sendRanged: (job: Job, source: RangedSource) => Promise<Stored>,
): Promise<Stored> {
  const gatherer = new Gatherer(source);
  const { key } = job.options;
  try {
    const first = await job.control.guard(gatherer.take(gatherBytes));
    if (first.last) {
      if (source.length !== undefined && source.length !== first.length) {
        const message = `the stream has ${first.length} bytes, not the announced ${source.length}`;
        throw new RomaError("source_failed", message);
      }
      job.meter.totalBytes = first.length;
      return await sendRanged(job, bytesSource(joined(first.chunks)));
    }
    gatherer.putBack(first.chunks);
    const { length } = source;
    if (length === undefined && key === undefined) {
      throw new RomaError("invalid_request", "a stream without `length` needs a `key`");
    }
    if (length !== undefined) {
      try {
        return await uploadDirect(job, gatheredParts(gatherer, length));
      } catch (error) {
        if (key === undefined) throw error;
        if (!(error instanceof PartsTooLarge) && !signsNothing(error)) throw error;
      }
    }
    return await uploadAppending(job, key ?? "", gatheredAppends(gatherer, length));
  } finally {
    gatherer.close();
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** A stream of announced length. */
export function gatheredParts(gatherer: Gatherer, length: number): PartSupply {
  const held = new Map<number, Gathered>();
  let complete = true;
  // One part is gathered after the other, in the order in which they are asked for.
  let turn: Promise<unknown> = Promise.resolve();
  return {
    length,
    partBytes: gatherBytes,
    parallelMax: (partBytes) => Math.floor(heldBytesMax / partBytes),
    fits: (partBytes) => partBytes <= heldBytesMax,
    part(number, first, end) {
      const gathering = turn.then(async () => {
        const gathered = await gatherer.take(end - first);
        if (gathered.length !== end - first || gathered.last !== (end === length)) {
          throw lengthError(length);
        }
        held.set(number, gathered);
        return gatheredPiece(gathered);
      });
      turn = gathering.catch(() => {});
      return gathering;
    },
    kept(number) {
      complete = false;
      held.delete(number);
    },
    rewind() {
      if (!complete) return false;
      const parts = [...held].sort(([a], [b]) => a - b).map(([, part]) => part);
      gatherer.putBack(parts.flatMap(({ chunks }) => chunks));
      held.clear();
      return true;
    },
  };
}

/** A stream, one piece after the other. */
export function gatheredAppends(gatherer: Gatherer, length: number | undefined): AppendSupply {
  let taken = 0;
  return {
    length,
    async next() {
      const gathered = await gatherer.take(gatherBytes);
      taken += gathered.length;
      if (length !== undefined && (taken > length || (gathered.last && taken < length))) {
        throw lengthError(length);
      }
      return {
        length: gathered.length,
        last: gathered.last,
        body: (skip) => bytesBody(withoutFirst(gathered.chunks, skip)),
        crc64nvme: async () => gathered.crc64nvme,
      };
    },
  };
}

function withoutFirst(chunks: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skip = bytes;
  return chunks.flatMap((chunk) => {
    const rest = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - rest.length;
    return rest.length === 0 ? [] : [rest];
  });
}

function lengthError(length: number): RomaError {
  return new RomaError("source_failed", `the stream does not have the announced ${length} bytes`);
}
