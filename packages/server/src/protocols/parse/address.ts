/** The paths of the protocol, decoded once from the target as it was sent. */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { type ObjectKey, parseKey } from "../../core/object-key.ts";
import { percentDecoded } from "../../http/index.ts";
import { invalidName } from "./errors.ts";

/** Where the protocol is mounted. */
export const basePath = "/parse";

/** What follows `/parse/files/`, still encoded. */
export function pathOfFiles(request: FastifyRequest): string {
  const target = request.raw.url ?? "";
  // RFC 9112 §3.2.2: a server accepts the absolute form too.
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").split("?", 1)[0] ?? "";
  if (path.includes("#")) {
    throw new OperationalError("invalid_request", "the request target has a fragment");
  }
  return path.slice(`${basePath}/files/`.length);
}

export interface FileAddress {
  readonly applicationId: string;
  readonly key: ObjectKey;
  /** Of the object `key`, its metadata is asked for. */
  readonly isMetadata: boolean;
}

/**
 * `/files/{application}/{name…}` and `/files/{application}/metadata/{name…}`. A file whose own name begins with
 * `metadata/` is asked for with that slash encoded.
 */
export function fileAddress(request: FastifyRequest): FileAddress {
  const path = pathOfFiles(request);
  const slash = path.indexOf("/");
  const rest = path.slice(slash + 1);
  const isMetadata = rest.startsWith("metadata/");
  return {
    applicationId: decoded(path.slice(0, slash)),
    key: parseKey(decoded(isMetadata ? rest.slice("metadata/".length) : rest)),
    isMetadata,
  };
}

/** The name that is to be deleted, with its directory. */
export function deletedKey(request: FastifyRequest): ObjectKey {
  return parseKey(decoded(pathOfFiles(request)));
}

/** The one segment of an upload. Code 122. */
export function uploadName(request: FastifyRequest): string {
  return decoded(pathOfFiles(request));
}

/** The path of a file's URL below the mount, with every character encoded that could be misread. */
export function filePath(applicationId: string, key: string): string {
  const segments = [applicationId, ...key.split("/")].map(encodeURIComponent);
  const [application, first, ...rest] = segments;
  // `/metadata/` would be the metadata of what follows.
  const name =
    first === "metadata" && rest.length > 0
      ? `metadata%2F${rest.join("/")}`
      : segments.slice(1).join("/");
  return `/files/${application}/${name}`;
}

function decoded(text: string): string {
  const value = percentDecoded(text);
  if (value === undefined) throw invalidName("Filename is not percent-encoded UTF-8.");
  return value;
}
