/** `POST ?delete`: up to 1,000 keys of the document, each judged and answered by itself. */
import { batchDeleteKeysMax } from "@roma/contract";
import type { Actor } from "../../../core/access.ts";
import { isOperationalError, type OperationalError } from "../../../core/errors.ts";
import { parseKey } from "../../../core/object-key.ts";
import { sendXml } from "../answer.ts";
import { answerOf, refusal } from "../errors.ts";
import type { Handler, S3Services } from "../services.ts";
import { childrenOf, childText, malformed, type XmlElement } from "../xml.ts";
import { receiveXml } from "./small-body.ts";
import { assertNullVersion } from "./version-id.ts";

/** 1,000 keys of 1,024 bytes, each of which may be written as a reference. */
const documentBytesMax = 8 * 1024 * 1024;

export const deleteObjects =
  (services: S3Services): Handler =>
  async (exchange) => {
    const { caller, bucket } = exchange;
    const limits = { bytesMax: documentBytesMax };
    const asked = parseDelete(await receiveXml(exchange, limits, { checksumNeeded: true }));
    const plain = asked.objects.filter(({ etag }) => etag === undefined).map(({ key }) => key);
    const many = await services.objects.deleteMany(caller.actor, bucket, plain);
    const deleted = [...many.deleted];
    const failed: FailedKey[] = [...asked.refused, ...many.failed];
    for (const object of asked.objects) {
      if (object.etag === undefined) continue;
      const error = await deleteMatching(services, caller.actor, { ...object, bucket });
      if (error === undefined) deleted.push(object.key);
      else failed.push({ key: object.key, error });
    }
    return sendXml(exchange, "DeleteResult", {
      Deleted: asked.quiet ? [] : deleted.map((Key) => ({ Key })),
      Error: failed.map(({ key, error }) => ({
        Key: key,
        Code: answerOf(error).code,
        Message: error.message,
      })),
    });
  };

interface FailedKey {
  readonly key: string;
  readonly error: OperationalError;
}

interface AskedObject {
  readonly key: string;
  /** Only if the object has this one. */
  readonly etag?: string | undefined;
}

function parseDelete(root: XmlElement) {
  if (root.name !== "Delete") throw malformed("is not a Delete");
  const elements = childrenOf(root, "Object");
  if (elements.length === 0) throw malformed("names no object");
  if (elements.length > batchDeleteKeysMax) {
    throw malformed(`names more than ${batchDeleteKeysMax} objects`);
  }
  const objects: AskedObject[] = [];
  const refused: FailedKey[] = [];
  for (const element of elements) {
    const key = childText(element, "Key");
    if (key === undefined) throw malformed("has an object without a key");
    const error = refusalOf(element);
    if (error === undefined) objects.push({ key, etag: childText(element, "ETag") });
    else refused.push({ key, error });
  }
  return { objects, refused, quiet: childText(root, "Quiet")?.trim().toLowerCase() === "true" };
}

/** What of an object cannot be done is not done without it. */
function refusalOf(element: XmlElement): OperationalError | undefined {
  try {
    assertNullVersion(childText(element, "VersionId"));
  } catch (error) {
    if (isOperationalError(error)) return error;
    throw error;
  }
  const condition = ["LastModifiedTime", "Size"].find(
    (name) => childText(element, name) !== undefined,
  );
  return condition === undefined
    ? undefined
    : refusal("NotImplemented", `the condition ${condition} is not offered`);
}

async function deleteMatching(
  { objects }: S3Services,
  actor: Actor,
  { bucket, key, etag = "" }: AskedObject & { readonly bucket: string },
): Promise<OperationalError | undefined> {
  const ifMatch = etag === "*" ? etag : [etag.replace(/^"(.*)"$/s, "$1")];
  try {
    await objects.delete(actor, { bucket, key: parseKey(key) }, { ifMatch });
    return undefined;
  } catch (error) {
    if (isOperationalError(error)) return error;
    throw error;
  }
}
