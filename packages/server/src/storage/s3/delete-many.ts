// Many blobs deleted by one request (DeleteObjects). The answer names only what was not deleted; a key that
// no XML can hold is deleted by a request of its own.

import { createHash } from "node:crypto";
import { OperationalError } from "../../core/errors.ts";
import { type Call, deleteManyMax, type FailedDelete } from "../../core/ports/storage-driver.ts";
import { type S3Context, storedKey } from "./context.ts";
import { classifyAnswer } from "./errors.ts";
import { deleteObject, failureStatus } from "./objects.ts";
import { parseDeleteResult } from "./wire.ts";
import { deleteXml } from "./xml.ts";

/** A missing key is success. */
export async function deleteObjects(
  context: S3Context,
  keys: readonly string[],
  { signal }: Call,
): Promise<readonly FailedDelete[]> {
  if (keys.length > deleteManyMax) {
    throw new OperationalError(
      "invalid_request",
      `${keys.length} keys, more than ${deleteManyMax}`,
    );
  }
  const byStored = new Map(keys.map((key) => [storedKey(context, key), key]));
  const listed = [...byStored.keys()].filter(fitsXml);
  const failed = listed.length === 0 ? [] : await request(context, byStored, { listed, signal });
  for (const key of keys.filter((one) => !fitsXml(one))) {
    await deleteObject(context, key, { signal });
  }
  return failed;
}

/** XML 1.0 §2.2: of some characters not even a reference may stand in a document. */
function fitsXml(key: string): boolean {
  for (const char of key) {
    const code = char.codePointAt(0) ?? 0;
    if (code < 0x20 && !"\t\n\r".includes(char)) return false;
    if (code === 0xfffe || code === 0xffff) return false;
  }
  return true;
}

async function request(
  { client, dialect }: S3Context,
  byStored: ReadonlyMap<string, string>,
  { listed, signal }: Call & { readonly listed: readonly string[] },
): Promise<readonly FailedDelete[]> {
  const body = Buffer.from(deleteXml(listed));
  const md5 = createHash("md5").update(body).digest("base64");
  const { status, text } = await client.read({
    operation: "delete",
    method: "POST",
    query: [["delete", undefined]],
    headers: {
      "content-type": "application/xml",
      ...(dialect.contentMd5OnDelete && { "content-md5": md5 }),
    },
    body,
    signal,
  });
  const classify = (document: Parameters<typeof classifyAnswer>[0]["document"]) =>
    classifyAnswer({
      ...{ operation: "delete", document, dialect, createOnly: false },
      status: failureStatus(status),
    });
  const result = parseDeleteResult(text);
  if ("error" in result) throw classify(result.error);
  return result.failed.flatMap(({ key: stored, error }) => {
    const key = byStored.get(stored);
    if (key === undefined) throw new SyntaxError("a key that was not to be deleted");
    return error.code === "NoSuchKey" ? [] : [{ key, error: classify(error) }];
  });
}
