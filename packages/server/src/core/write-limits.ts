/** The limits of a write: the server's, the bucket's and the grant's, of which the narrowest holds. */
import { objectBytesMax, userMetadataBytesMax } from "@roma/contract";
import type { Actor } from "./access.ts";
import { contentTypeMatches } from "./content-type.ts";
import { OperationalError } from "./errors.ts";
import type { BucketRecord, GrantTerms } from "./ports/metadata-store.ts";

export interface WriteLimits {
  readonly bytesMin: number;
  readonly bytesMax: number;
  /** Whose limit `bytesMax` is, as errors name it. */
  readonly bytesMaxName: string;
  /** Each list must have a range that fits. */
  readonly contentTypes: readonly { readonly whose: string; readonly ranges: readonly string[] }[];
}

/** `made`: of the grant that made an upload, which holds beside that of whoever goes on with it. */
export function writeLimits(
  actor: Actor,
  bucket: BucketRecord,
  serverBytesMax = objectBytesMax,
  made: GrantTerms | null = null,
): WriteLimits {
  const grants = [actor.kind === "grant" ? actor.scope : {}, made ?? {}];
  const ofGrants = grants.map(({ maxBytes }) => maxBytes ?? serverBytesMax);
  const maxima: readonly { readonly name: string; readonly bytes: number }[] = [
    { name: "the server's maxObjectBytes", bytes: serverBytesMax },
    { name: "the bucket's maxObjectBytes", bytes: bucket.maxObjectBytes ?? serverBytesMax },
    { name: "the grant's maxBytes", bytes: Math.min(...ofGrants) },
  ];
  const least = maxima.reduce((least, limit) => (limit.bytes < least.bytes ? limit : least));
  return {
    bytesMin: Math.max(...grants.map(({ minBytes }) => minBytes ?? 0)),
    bytesMax: least.bytes,
    bytesMaxName: least.name,
    contentTypes: [
      { whose: "bucket", ranges: bucket.contentTypes },
      ...grants.map(({ contentTypes }) => ({ whose: "grant", ranges: contentTypes })),
    ].flatMap(({ whose, ranges }) => (ranges == null ? [] : [{ whose, ranges }])),
  };
}

/** `too_large`, `too_small`. */
export function assertLengthAllowed(length: number, limits: WriteLimits): void {
  assertNotOver(length, limits);
  if (length < limits.bytesMin) {
    throw new OperationalError(
      "too_small",
      `${length} bytes are fewer than the grant's minBytes of ${limits.bytesMin}`,
      { context: { minBytes: limits.bytesMin } },
    );
  }
}

/** `too_large`: for a body that is still coming. */
export function assertNotOver(length: number, limits: WriteLimits): void {
  if (length <= limits.bytesMax) return;
  throw new OperationalError(
    "too_large",
    `the object is larger than ${limits.bytesMaxName} of ${limits.bytesMax} bytes`,
    { context: { maxBytes: limits.bytesMax } },
  );
}

/** `content_type_refused`. */
export function assertTypeAllowed(contentType: string, limits: WriteLimits): void {
  for (const { whose, ranges } of limits.contentTypes) {
    if (ranges.some((range) => contentTypeMatches(contentType, range))) continue;
    throw new OperationalError(
      "content_type_refused",
      `content type ${contentType} is not among the ${whose}'s contentTypes`,
      { context: { contentType } },
    );
  }
}

const metadataName = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,128}$/;

/**
 * What can be user metadata of what a client tells about a file: names in lower case, in the order given, as far
 * as the limit goes; of names that differ in case alone the first.
 */
export function fittingUserMetadata(
  entries: Iterable<readonly [string, string]>,
): Readonly<Record<string, string>> {
  const kept: Record<string, string> = Object.create(null);
  let bytes = 0;
  for (const [given, value] of entries) {
    const name = given.toLowerCase();
    if (!metadataName.test(name) || name in kept) continue;
    if (!value.isWellFormed() || value.includes("\0")) continue;
    const more = name.length + Buffer.byteLength(value);
    if (bytes + more > userMetadataBytesMax) continue;
    kept[name] = value;
    bytes += more;
  }
  return kept;
}

/** Names are lower-case tokens of HTTP; values any Unicode text. `invalid_request`, `too_large`. */
export function assertUserMetadata(metadata: Readonly<Record<string, string>>): void {
  let bytes = 0;
  for (const [name, value] of Object.entries(metadata)) {
    if (!metadataName.test(name)) {
      throw new OperationalError(
        "invalid_request",
        "a user metadata name is not a lower-case HTTP token",
      );
    }
    if (!value.isWellFormed() || value.includes("\0")) {
      throw new OperationalError("invalid_request", `user metadata ${name} is not Unicode text`);
    }
    bytes += name.length + Buffer.byteLength(value);
  }
  if (bytes > userMetadataBytesMax) {
    throw new OperationalError(
      "too_large",
      `user metadata has ${bytes} bytes, more than the limit of ${userMetadataBytesMax}`,
      { context: { userMetadataBytesMax } },
    );
  }
}
