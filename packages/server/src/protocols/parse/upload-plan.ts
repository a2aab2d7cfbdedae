/** What an upload is to be, judged before anything is stored for good. */
import type { FastifyRequest } from "fastify";
import type { OperationalError } from "../../core/errors.ts";
import type { ObjectKey } from "../../core/object-key.ts";
import { assertMayUpload, type Caller, isPrivileged } from "./admit.ts";
import { headerText } from "./credentials.ts";
import { describedBy, type FileData } from "./described.ts";
import { forbidden, saveRefused } from "./errors.ts";
import { checkDirectory, storedKey } from "./file-name.ts";
import { assertExtensionAllowed, type NamedFile, nameAndType } from "./file-type.ts";
import { requestIdCharactersMax } from "./replays.ts";

/** What is known of an upload before its first byte. */
export interface PlannedUpload {
  readonly key: ObjectKey;
  readonly file: NamedFile;
  readonly described: ReturnType<typeof describedBy>;
}

/** May the caller save such a file, and as what? Codes 119, 122, 130. */
export function planUpload(
  caller: Caller,
  given: {
    readonly name: string;
    readonly contentType: string | undefined;
    readonly data: FileData;
  },
): PlannedUpload {
  assertMayUpload(caller);
  const { application } = caller;
  const { directory } = given.data;
  if (directory !== undefined) {
    if (!isPrivileged(caller)) throw forbidden("Directory can only be set using the Master Key.");
    checkDirectory(directory);
  }
  const file = nameAndType(given.name, given.contentType);
  assertExtensionAllowed(file, application);
  const key = storedKey(file.name, { application, ...(directory && { directory }) });
  return { key, file, described: describedBy(given.data) };
}

/** Of a repeated request: the same only for the same caller and file. */
export function replayId(
  request: FastifyRequest,
  caller: Caller,
  name: string,
): string | undefined {
  const given = headerText(request, "x-parse-request-id");
  if (given === undefined) return undefined;
  if (given.length > requestIdCharactersMax) {
    throw saveRefused(
      `X-Parse-Request-Id is longer than the limit of ${requestIdCharactersMax} characters.`,
    );
  }
  return JSON.stringify([caller.application.id, caller.who, given, name]);
}

export function emptyFile(): OperationalError {
  return saveRefused("Invalid file upload: it has no bytes.");
}
