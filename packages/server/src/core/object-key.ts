/**
 * The one normaliser of names: authorisation, metadata and lists all see a key exactly as it leaves
 * here. A key is opaque text compared by its UTF-8 bytes; it never becomes a path.
 */
import { keyBytesMax } from "@roma/contract";
import { OperationalError } from "./errors.ts";

declare const checked: unique symbol;

/** A key that passed `parseKey`. */
export type ObjectKey = string & { readonly [checked]: "key" };

/** A prefix of keys that passed `parsePrefix`; may be empty. */
export type KeyPrefix = string & { readonly [checked]: "prefix" };

/**
 * The rules, each with its reason:
 * - 1 to 1,024 bytes of UTF-8 (as AWS S3).
 * - No lone surrogate: it has no UTF-8 form, so two different keys would be stored as one.
 * - No NUL: databases and C clients end a text there.
 * - No segment that is `.` or `..`: URL libraries remove them on the way, and the request would
 *   silently reach another key.
 * - All else is kept as it is: empty segments (`a//b`, `/a`, `a/`), control characters, any
 *   normal form of Unicode, any case. Keys that differ in a byte are different keys.
 */
export function parseKey(raw: string): ObjectKey {
  if (raw.length === 0) throw invalidKey("is empty");
  assertText(raw);
  const dotSegment = raw.split("/").find((segment) => segment === "." || segment === "..");
  if (dotSegment !== undefined) {
    throw invalidKey(`has the segment "${dotSegment}", which URL libraries remove`);
  }
  return raw as ObjectKey;
}

/** The same rules for the start of keys; the last segment may be incomplete, even `.` or `..`. */
export function parsePrefix(raw: string): KeyPrefix {
  if (raw !== "") assertText(raw);
  return raw as KeyPrefix;
}

function assertText(raw: string): void {
  if (!raw.isWellFormed()) throw invalidKey("has a lone surrogate, which has no UTF-8 form");
  if (raw.includes("\0")) throw invalidKey("has a NUL character");
  // Most keys are short: three bytes a UTF-16 unit is the most there can be.
  if (raw.length * 3 > keyBytesMax) {
    const bytes = Buffer.byteLength(raw);
    if (bytes > keyBytesMax) {
      throw invalidKey(`has ${bytes} bytes of UTF-8, more than the limit of ${keyBytesMax}`, {
        keyBytes: bytes,
        keyBytesMax,
      });
    }
  }
}

function invalidKey(what: string, context: Record<string, number> = {}): OperationalError {
  return new OperationalError("invalid_key", `key ${what}`, { context });
}

/** 1 to 63 letters, digits, `.`, `_`, `-`, not beginning with `.` or `-`, without `..`. */
export const bucketNamePattern = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/;

export function parseBucketName(raw: string): string {
  if (!bucketNamePattern.test(raw)) {
    throw new OperationalError(
      "invalid_request",
      "bucket name must be 1 to 63 letters, digits, '.', '_' or '-', " +
        "begin with a letter, digit or '_', and have no '..'",
    );
  }
  return raw;
}

/**
 * Names that no bucket is made with: the S3 interface is at `/s3` of one listener and at the root of another, and
 * a signature of `/s3/demo/k` does not say whether that is key `k` of `demo` or key `demo/k` of `s3`.
 */
export const takenBucketNames: ReadonlySet<string> = new Set(["s3"]);

/** As `parseBucketName`, for a bucket that is about to be made; those that there are keep their names. */
export function parseNewBucketName(raw: string): string {
  const name = parseBucketName(raw);
  if (!takenBucketNames.has(name)) return name;
  throw new OperationalError(
    "invalid_request",
    `bucket name must not be ${name}, which begins the paths of the S3 interface`,
  );
}
