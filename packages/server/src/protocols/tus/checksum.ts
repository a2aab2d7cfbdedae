/**
 * The extensions checksum and checksum-trailer: what the client says one request's body is. A body
 * that was announced with a checksum counts whole and verified, or not at all.
 */
import type { FastifyRequest } from "fastify";
import type { Caller } from "../../authentication/index.ts";
import { OperationalError } from "../../core/errors.ts";
import type { DigestName, Digests } from "../../core/ports/storage-driver.ts";
import type { BodyChecks } from "../../core/resumable/index.ts";
import { badField, field } from "./fields.ts";
import { isBase64 } from "./metadata.ts";

/** Bytes of each, in the order in which they are offered; CRCs are big-endian. */
const algorithms = {
  sha1: 20,
  md5: 16,
  crc32: 4,
  sha256: 32,
  crc64nvme: 8,
  crc32c: 4,
} as const satisfies Partial<Record<DigestName, number>>;

type Algorithm = keyof typeof algorithms;

export const checksumAlgorithms = Object.keys(algorithms) as readonly Algorithm[];

const name = "Upload-Checksum";

/** Undefined when nothing is said. `invalid_request`, and `checksum_mismatch` for what cannot match. */
export function bodyChecks(request: FastifyRequest, caller: Caller): BodyChecks | undefined {
  const header = field(request, name);
  const declared = header === undefined ? {} : parseChecksum(header);
  // A signature may name the body's SHA-256, and somebody must hold it against the bytes.
  const known = merged(
    declared,
    caller.bodySha256 === undefined ? {} : { sha256: caller.bodySha256 },
  );
  if (!announcesTrailer(request)) {
    const names = Object.keys(known) as DigestName[];
    return names.length === 0 ? undefined : { names, expected: () => known };
  }
  // A proxy that gathers a body before it sends it on has no place for trailers.
  if (request.raw.headers["transfer-encoding"] === undefined) throw trailerLost();
  return {
    // Which one it will be is told after the bytes.
    names: checksumAlgorithms,
    expected: () => merged(known, trailerChecksum(request)),
  };
}

/** `<algorithm> <base64>`. */
function parseChecksum(text: string): Digests {
  const [, algorithm = "", value = ""] = /^(\S+) (\S+)$/.exec(text) ?? [];
  if (algorithm === "") throw badField(name, "is not an algorithm and base64 with a space between");
  if (!isAlgorithm(algorithm)) {
    throw badField(name, `must be one of ${checksumAlgorithms.join(", ")}`);
  }
  if (!isBase64(value)) throw badField(name, "is not base64");
  const digest = Buffer.from(value, "base64");
  // No body has such a checksum, so this is a mismatch and not a malformed request.
  if (digest.length !== algorithms[algorithm]) throw mismatch(algorithm);
  return { [algorithm]: digest };
}

function isAlgorithm(text: string): text is Algorithm {
  return Object.hasOwn(algorithms, text);
}

function announcesTrailer(request: FastifyRequest): boolean {
  const announced = (request.raw.headers.trailer ?? "").split(",");
  return announced.some((item) => item.trim().toLowerCase() === name.toLowerCase());
}

function trailerChecksum(request: FastifyRequest): Digests {
  const trailer = request.raw.trailers[name.toLowerCase()];
  if (trailer !== undefined) return parseChecksum(trailer);
  throw trailerLost();
}

function trailerLost(): OperationalError {
  return badField(name, "was announced as a trailer and did not come; some proxies drop trailers");
}

/** Both must hold; two of one algorithm must be the same. */
function merged(first: Digests, second: Digests): Digests {
  for (const algorithm of Object.keys(second) as DigestName[]) {
    const [a, b] = [first[algorithm], second[algorithm]];
    if (a !== undefined && b !== undefined && Buffer.compare(a, b) !== 0) throw mismatch(algorithm);
  }
  return { ...first, ...second };
}

function mismatch(algorithm: string): OperationalError {
  return new OperationalError("checksum_mismatch", `${name} is not the ${algorithm} of the body`, {
    context: { algorithm },
  });
}
