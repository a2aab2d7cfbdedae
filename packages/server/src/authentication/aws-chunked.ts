/**
 * The framing `aws-chunked`: a body inside a body, each chunk with its size, and in the signed forms its
 * signature, then checksums as trailers. Data flows while it comes, however large a chunk says it is;
 * what is wrong with it is thrown before the decoded body ends, so that nothing is published.
 */
import assert from "node:assert/strict";
import { createHash, type Hash } from "node:crypto";
import type { OperationalError } from "../core/errors.ts";
import { shrinkChunk } from "../core/ports/given-chunks.ts";
import { S3Refusal } from "./s3-refusal.ts";
import type { ChunkSeed, StreamingPayload } from "./signed-payload.ts";
import { emptySha256, hmac, isSignature, scopeText, sha256Hex } from "./sigv4-key.ts";

export interface AwsChunkedOptions {
  readonly payload: StreamingPayload;
  /** `x-amz-decoded-content-length`: how long the body inside must be. */
  readonly length: number;
  /** The one trailer that `x-amz-trailer` announced, in lower case. */
  readonly trailer?: string;
}

export interface DecodedBody {
  /** Pull it once. The source's chunks are given to it: their memory is what it hands on. */
  readonly body: AsyncIterable<Uint8Array>;
  /** By lower-case name, verified if the form is signed; only once the body has ended. */
  readonly trailers: () => ReadonlyMap<string, string>;
}

/**
 * The body throws `incomplete_body` (`IncompleteBody`) for bad framing and another length,
 * `unauthenticated` (`SignatureDoesNotMatch`) for a wrong signature, `invalid_request`
 * (`MalformedTrailerError`) for other trailers than were announced.
 */
export function decodeAwsChunked(
  source: AsyncIterable<Uint8Array>,
  options: AwsChunkedOptions,
): DecodedBody {
  const decoder = new AwsChunkedDecoder(options);
  return { body: decoded(source, decoder), trailers: () => decoder.trailers() };
}

async function* decoded(
  source: AsyncIterable<Uint8Array>,
  decoder: AwsChunkedDecoder,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    const data = decoder.push(chunk);
    if (data.length > 0) yield data;
  }
  decoder.end();
}

/** Of the size line of a chunk, or a trailer. */
const lineBytesMax = 1024;
const lineFeed = 0x0a;

type Phase = "size" | "data" | "delimiter" | "trailers" | "done";

class AwsChunkedDecoder {
  readonly #length: number;
  readonly #announced: string | undefined;
  readonly #hasTrailers: boolean;
  readonly #signatures: ChunkSignatures | undefined;
  readonly #trailers = new Map<string, string>();
  #phase: Phase = "size";
  /** The beginning of a line that goes on in the next chunk of the source. */
  #line = "";
  #decodedBytes = 0;
  /** Of the chunk that is being read. */
  #leftBytes = 0;

  constructor({ payload, length, trailer }: AwsChunkedOptions) {
    this.#length = length;
    this.#announced = trailer;
    this.#hasTrailers = payload.trailer;
    this.#signatures = payload.signed ? new ChunkSignatures(payload.seed) : undefined;
  }

  /** The data in these bytes, moved together inside of their memory. */
  push(chunk: Uint8Array): Uint8Array {
    let at = 0;
    let start = 0;
    let end = 0;
    while (at < chunk.length) {
      if (this.#phase !== "data") {
        at = this.#takeLine(chunk, at);
        continue;
      }
      const next = Math.min(at + this.#leftBytes, chunk.length);
      this.#signatures?.update(chunk.subarray(at, next));
      if (end === 0) start = at;
      else chunk.copyWithin(end, at, next);
      end = end === 0 ? next : end + next - at;
      this.#leftBytes -= next - at;
      at = next;
      if (this.#leftBytes === 0) {
        this.#signatures?.endChunk();
        this.#phase = "delimiter";
      }
    }
    return dataOf(chunk, start, end);
  }

  end(): void {
    if (this.#phase !== "done") throw incomplete("the body ends before its last chunk");
  }

  trailers(): ReadonlyMap<string, string> {
    assert(this.#phase === "done", "trailers come after the body");
    return this.#trailers;
  }

  /** Reads on to the end of the line or of the chunk; answers where it stopped. */
  #takeLine(chunk: Uint8Array, from: number): number {
    if (this.#phase === "done") throw incomplete("more bytes follow the last chunk");
    for (let at = from; at < chunk.length; at++) {
      if (this.#line.length + at - from >= lineBytesMax) {
        throw incomplete(`a line of the framing is longer than ${lineBytesMax} bytes`);
      }
      if (chunk[at] !== lineFeed) continue;
      const line = this.#line + latin1(chunk, from, at + 1);
      this.#line = "";
      if (line.endsWith("\r\n")) {
        this.#endLine(line.slice(0, -2));
        return at + 1;
      }
      // A bare line feed before the end of a trailer's line belongs to no value; some clients send it.
      this.#line = line;
      return at + 1;
    }
    this.#line += latin1(chunk, from, chunk.length);
    return chunk.length;
  }

  #endLine(line: string): void {
    switch (this.#phase) {
      case "size":
        this.#beginChunk(line);
        break;
      case "delimiter":
        if (line !== "") throw incomplete("a chunk's data does not end where its size says");
        this.#phase = "size";
        break;
      default:
        this.#takeTrailer(line);
    }
  }

  #beginChunk(line: string): void {
    const [, hex = "", signature] =
      /^([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line) ?? [];
    if (hex === "" || (signature !== undefined) !== (this.#signatures !== undefined)) {
      throw incomplete("the line before a chunk is not its size and signature");
    }
    const bytes = Number.parseInt(hex, 16);
    this.#decodedBytes += bytes;
    if (this.#decodedBytes > this.#length) throw this.#wrongLength("more");
    if (signature !== undefined) this.#signatures?.beginChunk(signature);
    this.#leftBytes = bytes;
    if (bytes > 0) {
      this.#phase = "data";
      return;
    }
    this.#signatures?.endChunk();
    if (this.#decodedBytes < this.#length) throw this.#wrongLength("fewer");
    this.#phase = "trailers";
  }

  /** An empty line ends them, and the body. */
  #takeTrailer(line: string): void {
    if (line === "") {
      this.#assertTrailers();
      this.#phase = "done";
      return;
    }
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).trim().toLowerCase();
    if (name === "" || !this.#hasTrailers) throw incomplete("a line follows that is no trailer");
    if (this.#trailers.has(name) || this.#trailers.size > 1) {
      throw malformedTrailer("there are more trailers than were announced");
    }
    this.#trailers.set(name, line.slice(colon + 1).trim());
  }

  #assertTrailers(): void {
    const signature = this.#trailers.get(trailerSignature);
    this.#trailers.delete(trailerSignature);
    const [entry, second] = this.#trailers;
    if (second !== undefined) throw malformedTrailer("there are two trailers");
    if (this.#signatures !== undefined && this.#hasTrailers) {
      const complete =
        signature !== undefined && (entry !== undefined || this.#announced === undefined);
      if (!complete) throw incomplete("the trailer or its signature is missing");
      this.#signatures.assertTrailer(entry, signature);
    } else if (signature !== undefined) {
      throw malformedTrailer("there is a signature of trailers in the form that has none");
    }
    if (entry?.[0] !== this.#announced) {
      throw malformedTrailer("the trailer is not the one that x-amz-trailer names");
    }
  }

  #wrongLength(what: "more" | "fewer"): OperationalError {
    return incomplete(`the chunks hold ${what} bytes than x-amz-decoded-content-length says`);
  }
}

const trailerSignature = "x-amz-trailer-signature";

/** Each signature covers the one before, so that no chunk can be left out, moved or added. */
class ChunkSignatures {
  readonly #seed: ChunkSeed;
  #previous: string;
  #claimed = "";
  #hash: Hash | undefined;

  constructor(seed: ChunkSeed) {
    this.#seed = seed;
    this.#previous = seed.signature;
  }

  beginChunk(signature: string): void {
    this.#claimed = signature;
    this.#hash = createHash("sha256");
  }

  update(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
  }

  endChunk(): void {
    const digest = this.#hash?.digest("hex") ?? emptySha256;
    this.#assert("AWS4-HMAC-SHA256-PAYLOAD", [emptySha256, digest], this.#claimed);
    this.#previous = this.#claimed;
  }

  assertTrailer(trailer: readonly [string, string] | undefined, signature: string): void {
    const text = trailer === undefined ? "" : `${trailer[0]}:${trailer[1]}\n`;
    this.#assert("AWS4-HMAC-SHA256-TRAILER", [sha256Hex(text)], signature);
  }

  #assert(scheme: string, hashes: readonly string[], signature: string): void {
    const { date, key, scope } = this.#seed;
    const text = [scheme, date, scopeText(scope), this.#previous, ...hashes].join("\n");
    if (/^[0-9a-f]{64}$/.test(signature) && isSignature(hmac(key, text), signature)) return;
    throw new S3Refusal("SignatureDoesNotMatch", "the signature of a chunk or trailer is wrong");
  }
}

/** What is left of a chunk, as memory of its own where that can be. */
function dataOf(chunk: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (start === 0) return shrinkChunk(chunk, length);
  if (chunk.length !== chunk.buffer.byteLength) return chunk.subarray(start, end);
  chunk.copyWithin(0, start, end);
  return shrinkChunk(chunk, length);
}

function latin1(chunk: Uint8Array, from: number, to: number): string {
  return Buffer.from(chunk.buffer, chunk.byteOffset + from, to - from).toString("latin1");
}

function incomplete(what: string): OperationalError {
  return new S3Refusal("IncompleteBody", what);
}

function malformedTrailer(what: string): OperationalError {
  return new S3Refusal("MalformedTrailerError", what);
}
