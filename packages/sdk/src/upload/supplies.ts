/** The two kinds of sources as parts: read from anywhere, or gathered from a stream. */
import { RomaError } from "../errors.ts";
import { bytesBody } from "../transport.ts";
import type { AppendSupply } from "./append.ts";
import type { PartSupply } from "./direct.ts";
import { type Gathered, type Gatherer, gatheredPiece } from "./gatherer.ts";
import type { RangedSource } from "./source.ts";

/** Of a stream, what is gathered for one request. */
export const gatherBytes = 8 * 1024 * 1024;
/** Of a stream, what is held at once. */
const heldBytesMax = 64 * 1024 * 1024;

export function rangedParts(source: RangedSource): PartSupply {
  return {
    length: source.length,
    identity: source.identity,
    parallelMax: () => Number.POSITIVE_INFINITY,
    fits: () => true,
    part: async (_number, first, end) => source.piece(first, end),
    kept: () => {},
    rewind: () => true,
  };
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

/** A source of known length, one piece after the other. */
export function rangedAppends(source: RangedSource): AppendSupply {
  let at = 0;
  return {
    length: source.length,
    async next() {
      const first = at;
      at = Math.min(source.length, first + gatherBytes);
      const end = at;
      const piece = source.piece(first, end);
      return {
        length: end - first,
        last: end === source.length,
        body: (skip) => (skip === 0 ? piece : source.piece(first + skip, end)).body,
        crc64nvme: piece.crc64nvme,
      };
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
