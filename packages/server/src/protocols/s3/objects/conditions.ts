/**
 * Conditions of writes, as core judges them inside the transaction, and the answers that S3 has for one
 * that does not hold.
 */
import { isOperationalError } from "../../../core/errors.ts";
import type { ObjectRecord, WriteConditions } from "../../../core/ports/metadata-store.ts";
import {
  type ConditionHeaders,
  evaluateConditions,
  writePreconditions,
} from "../../../http/index.ts";
import { refusal } from "../errors.ts";
import type { ObjectExchange, S3Services } from "../services.ts";

/** `NotImplemented` for what could only be ignored. */
export function writeConditions(headers: ConditionHeaders): WriteConditions {
  const { ifAbsent, ifMatch, ifNoneMatch } = writePreconditions(headers);
  if (ifNoneMatch !== undefined) {
    throw refusal("NotImplemented", "If-None-Match of a write must be *", {
      fields: { Header: "If-None-Match" },
    });
  }
  return {
    ...(ifAbsent === undefined ? {} : { ifAbsent }),
    ...(ifMatch === undefined ? {} : { ifMatch }),
  };
}

/**
 * A write under conditions. Where the object of `If-Match` is not there at all: `NoSuchKey`. Where
 * `If-None-Match` still held as the work began and no longer at its end: `ConditionalRequestConflict`.
 */
export async function underConditions<T>(
  { objects }: Pick<S3Services, "objects">,
  { caller, bucket, key }: ObjectExchange,
  write: {
    readonly conditions: WriteConditions;
    readonly run: () => Promise<T>;
    /** Whether the first look found nothing against it. */
    readonly hadBegun?: () => boolean;
  },
): Promise<T> {
  try {
    return await write.run();
  } catch (error) {
    if (!isOperationalError(error, "precondition_failed")) throw error;
    const { ifAbsent, ifMatch } = write.conditions;
    if (ifAbsent === true && write.hadBegun?.() === true) {
      throw refusal("ConditionalRequestConflict", "another write of this key was faster", {
        cause: error,
      });
    }
    if (ifMatch === undefined) throw error;
    const found = await objects.head(caller.actor, { bucket, key }).catch((why: unknown) => why);
    throw isOperationalError(found, "object_not_found") ? found : error;
  }
}

const sourcePrefix = "x-amz-copy-source-if-";

/** Conditions on the source of a copy: one that does not hold is 412, whichever it is. */
export function judgeCopySource(headers: ConditionHeaders, source: ObjectRecord): void {
  const asked = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith(sourcePrefix)
      ? [[`if-${name.slice(sourcePrefix.length)}`, value] as const]
      : [],
  );
  const validators = { etag: source.etag, modifiedAt: source.createdAt };
  const verdict = evaluateConditions(Object.fromEntries(asked), validators, { reading: true });
  if (verdict === "proceed") return;
  throw refusal(
    "PreconditionFailed",
    "At least one of the pre-conditions you specified did not hold",
  );
}
