/**
 * The body of a request, unframed, with everything that the request says of it: its length, and digests in
 * headers, in the signature and in the trailer. Whoever reads it compares them all.
 */
import { decodeAwsChunked } from "../../../authentication/index.ts";
import { isOperationalError } from "../../../core/errors.ts";
import type { Body, Digests } from "../../../core/ports/storage-driver.ts";
import type { BodyChecks } from "../../../core/resumable/index.ts";
import { receiveBody } from "../../../http/index.ts";
import { refusal } from "../errors.ts";
import type { Exchange } from "../services.ts";
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  checksumValue,
  type DeclaredChecksum,
  declaredChecksum,
  declaredMd5,
  headerText,
} from "./checksums.ts";
import { entityTooLarge } from "./refusals.ts";

export interface ReceivedObject {
  readonly body: Body;
  /** Of the object, not of its framing. Absent when the client did not say. */
  readonly length?: number;
  /** All that was said before the body. */
  readonly digests: Digests;
  /** What the trailer says. */
  readonly checks?: BodyChecks;
  /** Of the checksum that the client declared, in a header or for the trailer. */
  readonly algorithm?: ChecksumAlgorithm;
  /** Whether a first byte was asked for. */
  readonly begun: () => boolean;
}

export interface ReceiveLimits {
  readonly bytesMax: number;
  /** The request that completes an upload has checksums of the object in its headers. */
  readonly checksumsAreOf?: "body" | "object";
}

/**
 * Checks what the headers say: `InvalidDigest`, `InvalidRequest`, `EntityTooLarge`,
 * `MissingContentLength`. The first pull asks the client for its body.
 */
export function receiveObject(
  exchange: Exchange,
  { bytesMax, checksumsAreOf = "body" }: ReceiveLimits,
): ReceivedObject {
  const { request, reply, caller } = exchange;
  const { payload } = caller;
  const checksum = checksumsAreOf === "body" ? declaredChecksum(request.headers) : undefined;
  const digests = { ...declaredMd5(request.headers), ...digestOf(checksum) };
  const algorithm = checksum === undefined ? {} : { algorithm: checksum.algorithm };
  const options = { contentEncodings: "any" as const };
  if (payload.kind !== "streaming") {
    const received = receiveBody(request, reply, options);
    assertNotOver(received.length ?? 0, bytesMax);
    const known = received.length !== undefined;
    const { body, begun } = observed(known ? received.body : bounded(received.body, bytesMax));
    const all = payload.kind === "sha256" ? withSha256(digests, payload.digest) : digests;
    const length = received.length === undefined ? {} : { length: received.length };
    return { body, ...length, digests: all, ...algorithm, begun };
  }
  const length = decodedLength(exchange);
  assertNotOver(length, bytesMax);
  const trailer = headerText(request.headers, "x-amz-trailer")?.trim().toLowerCase();
  const decoded = decodeAwsChunked(receiveBody(request, reply, options).body, {
    payload,
    length,
    ...(trailer === undefined || trailer === "" ? {} : { trailer }),
  });
  const { body, begun } = observed(decoded.body);
  const trailing =
    checksum === undefined || checksum.value !== undefined
      ? {}
      : { checks: trailerChecks(checksum.algorithm, decoded.trailers) };
  return { body, length, digests, ...trailing, ...algorithm, begun };
}

/** `XAmzContentSHA256Mismatch` where it was the signature's own digest that differed. */
export async function comparingSignedBody<T>(
  { request, caller }: Exchange,
  read: () => Promise<T>,
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const differs =
      isOperationalError(error, "checksum_mismatch") && error.context.digest === "sha256";
    const declared = request.headers["x-amz-checksum-sha256"] !== undefined;
    if (!differs || declared || caller.payload.kind !== "sha256") throw error;
    throw refusal(
      "XAmzContentSHA256Mismatch",
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
      { cause: error },
    );
  }
}

function digestOf(checksum: DeclaredChecksum | undefined): Digests {
  if (checksum?.value === undefined) return {};
  return { [checksumAlgorithms[checksum.algorithm].digest]: checksum.value };
}

function withSha256(digests: Digests, sha256: Uint8Array): Digests {
  if (digests.sha256 === undefined || Buffer.compare(digests.sha256, sha256) === 0) {
    return { ...digests, sha256 };
  }
  throw refusal("BadDigest", "x-amz-checksum-sha256 is not the x-amz-content-sha256 of the body");
}

function trailerChecks(
  algorithm: ChecksumAlgorithm,
  trailers: () => ReadonlyMap<string, string>,
): BodyChecks {
  const { digest, header } = checksumAlgorithms[algorithm];
  return {
    names: [digest],
    expected: () => {
      const text = trailers().get(header);
      if (text === undefined) {
        throw refusal("MalformedTrailerError", `the trailer ${header} is missing`);
      }
      return { [digest]: checksumValue(algorithm, text, header) };
    },
  };
}

/** What the framing holds. `MissingContentLength`, `InvalidArgument`. */
function decodedLength({ request }: Exchange): number {
  const text = headerText(request.headers, "x-amz-decoded-content-length");
  if (text === undefined) {
    throw refusal(
      "MissingContentLength",
      "You must provide the x-amz-decoded-content-length header.",
    );
  }
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw refusal("InvalidArgument", "x-amz-decoded-content-length is not a number of bytes", {
    fields: { ArgumentName: "x-amz-decoded-content-length", ArgumentValue: text },
  });
}

function assertNotOver(bytes: number, bytesMax: number): void {
  if (bytes > bytesMax) throw entityTooLarge(bytes, bytesMax);
}

/** For a body whose length was not told. */
async function* bounded(body: Body, bytesMax: number): Body {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    assertNotOver(bytes, bytesMax);
    yield chunk;
  }
}

function observed(body: Body): Pick<ReceivedObject, "body" | "begun"> {
  let begun = false;
  const watched: Body = {
    [Symbol.asyncIterator]: () => {
      begun = true;
      return body[Symbol.asyncIterator]();
    },
  };
  return { body: watched, begun: () => begun };
}
