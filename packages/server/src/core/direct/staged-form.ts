/**
 * What a form brought to a storage: bytes under a key that may be posted to again until the form expires. They
 * become parts of the storage's own upload, which nobody but this server can write, and are no blob themselves.
 */
import { isOperationalError, OperationalError } from "../errors.ts";
import type {
  BlobHead,
  Call,
  Part,
  StorageDriver,
  UploadAddress,
} from "../ports/storage-driver.ts";
import { type PartPlan, partLength } from "./part-plan.ts";
import { stagingKeyOf } from "./record.ts";

/** Of a part that is copied: few requests, each answered in time. */
export const stagedPartBytes = 256 * 1024 ** 2;
/** What storages of the S3 family take by one form. */
export const formBytesMax = 5 * 1024 ** 3;
const copiesAtOnce = 4;

/** `undefined`: nothing was posted yet. */
export async function findStaged(
  driver: StorageDriver,
  blobKey: string,
  call: Call,
): Promise<BlobHead | undefined> {
  try {
    return await driver.head(stagingKeyOf(blobKey), call);
  } catch (error) {
    if (isOperationalError(error, "object_not_found")) return undefined;
    throw error;
  }
}

/**
 * All parts of the plan, of one posting; none if nothing was posted. `invalid_part`: it has another length.
 * `locked`: it was posted again meanwhile, and the next attempt takes that.
 */
export async function partsOfStaged(
  driver: StorageDriver,
  { address, plan }: { readonly address: UploadAddress; readonly plan: PartPlan },
  call: Call,
): Promise<readonly Part[]> {
  const { copyPart } = driver.parts ?? {};
  if (copyPart === undefined) {
    throw new OperationalError("unsupported", "the storage copies no parts");
  }
  const head = await findStaged(driver, address.key, call);
  if (head === undefined) return [];
  const { length, etag } = head;
  if (length !== plan.length) {
    const message = `the form brought ${length} bytes, not ${plan.length}`;
    const context = { partNumber: 1, reason: "length" };
    throw new OperationalError("invalid_part", message, { context });
  }
  const numbers = Array.from({ length: plan.partCount }, (_, index) => index + 1).values();
  const parts: Part[] = [];
  const key = stagingKeyOf(address.key);
  const work = async (): Promise<void> => {
    // One iterator for all: each takes the next part.
    for (const number of numbers) {
      const firstByte = (number - 1) * plan.partBytes;
      const lastByte = firstByte + (partLength(plan, number) ?? 0) - 1;
      const isWhole = plan.partCount === 1;
      parts.push(
        await copyPart(address, number, { key, etag, firstByte, lastByte, isWhole }, call),
      );
    }
  };
  try {
    await Promise.all(Array.from({ length: copiesAtOnce }, work));
  } catch (error) {
    if (isOperationalError(error, "precondition_failed")) throw postedAgain(error);
    throw error;
  }
  // Not every storage compares the tag when it is asked to.
  const after = await findStaged(driver, address.key, call);
  if (after?.etag === etag && after.modifiedAt.getTime() === head.modifiedAt.getTime())
    return parts;
  throw postedAgain();
}

function postedAgain(cause?: unknown): OperationalError {
  const message = "the form was posted again while the upload was completed";
  return new OperationalError("locked", message, cause === undefined ? {} : { cause });
}
