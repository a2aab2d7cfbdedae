/**
 * What a request target and its host name: nothing, a bucket, or an object. Taken from the target exactly
 * as it was sent and decoded once, since URL parsers drop dot segments and slashes that belong to keys.
 */
import type { FastifyRequest } from "fastify";
import { bucketOfHost } from "../../authentication/index.ts";
import { isOperationalError } from "../../core/errors.ts";
import {
  type ObjectKey,
  parseBucketName,
  parseKey,
  takenBucketNames,
} from "../../core/object-key.ts";
import { percentDecoded } from "../../http/index.ts";
import { refusal } from "./s3-codes.ts";

export type Address =
  | { readonly on: "service" }
  | { readonly on: "bucket"; readonly bucket: string }
  | { readonly on: "object"; readonly bucket: string; readonly key: ObjectKey };

export interface AddressOptions {
  /** Stripped from the path: `/s3`, or empty. */
  readonly basePath: string;
  /** In lower case. */
  readonly domains: readonly string[];
  /** Whether there is a listener with the interface at its root. */
  readonly hasOwnListener: boolean;
}

/** `InvalidURI`, `InvalidBucketName`, `KeyTooLongError`, and `InvalidArgument` for other bad keys. */
export function addressOf(request: FastifyRequest, options: AddressOptions): Address {
  const path = pathBelow(options.basePath, request).replace(/^\//, "");
  const named = bucketOfHost(request.raw.headers.host ?? "", options.domains);
  if (named !== undefined) {
    assertOneListener(options);
    const bucket = bucketName(named);
    return path === "" ? { on: "bucket", bucket } : { on: "object", bucket, key: keyOf(path) };
  }
  const slash = path.indexOf("/");
  const first = slash === -1 ? path : path.slice(0, slash);
  const rest = slash === -1 ? "" : path.slice(slash + 1);
  // `//k` is not a list of buckets: its bucket has no name.
  if (path === "") return { on: "service" };
  const bucket = bucketName(decoded(first));
  if (options.basePath === "") assertNotMistaken(bucket);
  return rest === "" ? { on: "bucket", bucket } : { on: "object", bucket, key: keyOf(rest) };
}

/** At the root, `/s3/demo/k` may have been signed for the listener on which that is key `k` of `demo`. */
function assertNotMistaken(bucket: string): void {
  if (!takenBucketNames.has(bucket)) return;
  throw refusal(
    "InvalidBucketName",
    `the bucket ${bucket} is not at the root of a listener: ask for /s3/${bucket} on the main one`,
    { fields: { BucketName: bucket } },
  );
}

/** `/s3/k` at a bucket's host is key `k` here and would be key `s3/k` there, with the same signature. */
function assertOneListener({ basePath, hasOwnListener }: AddressOptions): void {
  if (basePath === "" || !hasOwnListener) return;
  throw refusal(
    "InvalidURI",
    "the host names a bucket: such hosts are served by the S3 listener alone",
  );
}

/** The bucket of a request that may be malformed otherwise. */
export function bucketNamed(request: FastifyRequest, options: AddressOptions): string | undefined {
  try {
    const address = addressOf(request, options);
    return address.on === "service" ? undefined : address.bucket;
  } catch (error) {
    if (isOperationalError(error)) return undefined;
    throw error;
  }
}

const known = new WeakMap<object, Address>();

/** For what a refusal says: its request may have come by no route of ours, and then has none. */
export function rememberAddress(request: FastifyRequest, address: Address): void {
  known.set(request.raw, address);
}

export function knownAddress(request: FastifyRequest): Address | undefined {
  return known.get(request.raw);
}

/**
 * As sent, and no other spelling of the base path: the router decodes before it compares, and what is cut
 * off is counted in characters.
 */
function pathBelow(basePath: string, request: FastifyRequest): string {
  const path = pathOf(request);
  if (path === basePath || path.startsWith(`${basePath}/`)) return path.slice(basePath.length);
  throw refusal("InvalidURI", `the path does not begin with ${basePath}/ as it is`);
}

/** The path as sent, without the query. */
export function pathOf(request: FastifyRequest): string {
  const target = request.raw.url ?? "";
  // RFC 9112 §3.2.2: a server accepts the absolute form too.
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").split("?", 1)[0] ?? "";
  if (path.includes("#")) throw refusal("InvalidURI", "the request target has a fragment");
  return path;
}

/** `/s3/bucket/key`, every byte of the key encoded that could be misread. */
export function objectPath(basePath: string, bucket: string, key: string): string {
  return `${basePath}/${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`;
}

function keyOf(path: string): ObjectKey {
  return parseKey(decoded(path));
}

function decoded(text: string): string {
  const value = percentDecoded(text);
  if (value === undefined) throw refusal("InvalidURI", "the path is not percent-encoded UTF-8");
  return value;
}

function bucketName(name: string): string {
  try {
    return parseBucketName(name);
  } catch (error) {
    if (!isOperationalError(error)) throw error;
    throw refusal("InvalidBucketName", error.message, { cause: error });
  }
}

/** What S3 asks of new names: Roma itself allows more, which no other S3 server would. */
export function assertNewBucketName(name: string): void {
  const good = /^(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name);
  if (!good || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(name)) {
    throw refusal(
      "InvalidBucketName",
      "bucket name must be 3 to 63 lower-case letters, digits, '.' or '-', begin and end with a " +
        "letter or digit, have no '..' and not be an IPv4 address",
      { fields: { BucketName: name } },
    );
  }
}
