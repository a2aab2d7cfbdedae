/**
 * `PUT` with `x-amz-copy-source`: another object with the same bytes, which are not copied. Who copies must
 * be allowed to read the source and to write the target.
 */
import assert from "node:assert/strict";
import type { Actor } from "../../../core/access.ts";
import { RunningDigests } from "../../../core/digests/digest-set.ts";
import { isOperationalError, OperationalError } from "../../../core/errors.ts";
import { frontEndAttributes } from "../../../core/multipart/index.ts";
import { parseBucketName, parseKey } from "../../../core/object-key.ts";
import type { ObjectAddress } from "../../../core/objects.ts";
import type { ObjectRecord } from "../../../core/ports/metadata-store.ts";
import { etagField, percentDecoded, requestSignal } from "../../../http/index.ts";
import { sendXml } from "../answer.ts";
import { refusal } from "../errors.ts";
import type { Exchange, Handler, ObjectExchange, S3Services } from "../services.ts";
import {
  algorithmAttribute,
  algorithmOf,
  base64Of,
  type ChecksumAlgorithm,
  checksumAlgorithms,
  checksumElements,
  checksumOf,
  valueAttribute,
} from "./checksums.ts";
import { judgeCopySource, underConditions, writeConditions } from "./conditions.ts";
import { type DescribedObject, describeObject, type Fields } from "./described.ts";
import { fieldsOf } from "./fields.ts";
import { invalidArgument, invalidRequest } from "./refusals.ts";
import { parseTagging, tagAttributes, tagsAttribute } from "./tags.ts";
import { assertNullVersion } from "./version-id.ts";

export const copyObject =
  (services: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { request, bucket, key } = exchange;
    const from = copySource(request.headers["x-amz-copy-source"]?.toString() ?? "");
    const plan = copyPlan(exchange);
    const ontoItself = from.bucket === bucket && from.key === key;
    const object = await ofOneVersion(services, exchange, from, async (source) => {
      judgeCopySource(request.headers, source);
      if (ontoItself && !plan.changes) {
        throw invalidRequest(
          "This copy request is illegal because it is trying to copy an object to itself without " +
            "changing the object's metadata, storage class, website redirect location or encryption " +
            "attributes.",
        );
      }
      return await copyVersion(services, exchange, { from, source, plan });
    });
    return sendXml(exchange, "CopyObjectResult", {
      LastModified: object.createdAt,
      ETag: etagField(object),
      ...checksumElements(checksumOf(object)),
    });
  };

const versionsMax = 10;

/**
 * A copy is of one version of its source, conditions, checksum and all. Where that was replaced meanwhile it
 * is made of the next; where the source is gone, that is the answer.
 */
async function ofOneVersion(
  { objects }: S3Services,
  { caller }: ObjectExchange,
  from: ObjectAddress,
  copy: (source: ObjectRecord) => Promise<ObjectRecord>,
): Promise<ObjectRecord> {
  let source = await objects.head(caller.actor, from);
  for (let count = 1; ; count += 1) {
    try {
      return await copy(source);
    } catch (error) {
      if (!isOperationalError(error, "precondition_failed")) throw error;
      const { version } = source;
      source = await objects.head(caller.actor, from);
      if (source.version === version) throw error;
      if (count === versionsMax) {
        throw refusal("OperationAborted", "the source of the copy is replaced again and again", {
          cause: error,
        });
      }
    }
  }
}

interface CopiedVersion {
  readonly from: ObjectAddress;
  readonly source: ObjectRecord;
  readonly plan: CopyPlan;
}

async function copyVersion(
  services: S3Services,
  exchange: ObjectExchange,
  { from, source, plan }: CopiedVersion,
): Promise<ObjectRecord> {
  const { caller, bucket, key } = exchange;
  const { algorithm, conditions } = plan;
  const checksum = await checksumAttributesFor(services, exchange, { from, source, algorithm });
  const { object } = await underConditions(services, exchange, {
    conditions,
    run: () =>
      services.objects.copy(caller.actor, {
        from: { ...from, version: source.version },
        to: { bucket, key },
        ...described(plan, source),
        attributes: { ...copiedAttributes(plan, source), ...checksum },
        conditions,
      }),
  });
  return object;
}

/** `[/]bucket/key[?versionId=…]`, percent-encoded once; a plus is a plus. `InvalidArgument`. */
export function copySource(text: string): ObjectAddress {
  const [path = "", version] = splitAt(text.replace(/^\//, ""), "?versionId=");
  const [bucket, key] = splitAt(path, "/").map((part) => percentDecoded(part ?? ""));
  if (bucket === undefined || key === undefined || bucket === "" || key === "") {
    throw invalidArgument(
      "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
      {
        ArgumentName: "x-amz-copy-source",
        ArgumentValue: text,
      },
    );
  }
  assertNullVersion(version);
  return { bucket: parseBucketName(bucket), key: parseKey(key) };
}

function splitAt(text: string, mark: string): readonly [string, string?] {
  const at = text.indexOf(mark);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + mark.length)];
}

interface CopyPlan {
  /** Replaces the source's. */
  readonly metadata?: DescribedObject;
  /** Replaces the source's. */
  readonly tags?: Readonly<Record<string, string>>;
  readonly algorithm?: ChecksumAlgorithm;
  readonly conditions: ReturnType<typeof writeConditions>;
  /** Whether a copy onto itself would change anything. */
  readonly changes: boolean;
}

function copyPlan(exchange: Exchange): CopyPlan {
  const fields = fieldsOf(exchange);
  const replacesMetadata = directive(fields, "x-amz-metadata-directive") === "REPLACE";
  const replacesTags = directive(fields, "x-amz-tagging-directive") === "REPLACE";
  const algorithm = fields.get("x-amz-checksum-algorithm");
  const tags = tagAttributes(parseTagging(fields.get("x-amz-tagging") ?? ""));
  return {
    ...(replacesMetadata ? { metadata: describeObject(fields) } : {}),
    ...(replacesTags ? { tags } : {}),
    ...(algorithm === undefined ? {} : { algorithm: algorithmOf(algorithm) }),
    conditions: writeConditions(exchange.request.headers),
    changes: replacesMetadata || replacesTags || fields.get("x-amz-storage-class") !== undefined,
  };
}

function directive(fields: Fields, name: string): string {
  const value = fields.get(name) ?? "COPY";
  if (value === "COPY" || value === "REPLACE") return value;
  throw invalidArgument(`Unknown ${name}`, { ArgumentName: name, ArgumentValue: value });
}

/** What the bytes are is as true of the copy, whatever is declared of it. */
function described({ metadata }: CopyPlan, source: ObjectRecord) {
  if (metadata === undefined) return {};
  return {
    contentType: metadata.contentType ?? source.contentType,
    userMetadata: metadata.userMetadata,
  };
}

/** A copy did not come in parts, as S3 has it. */
function copiedAttributes(
  { metadata, tags }: CopyPlan,
  source: ObjectRecord,
): Readonly<Record<string, string>> {
  const { [tagsAttribute]: sourceTags, ...others } = frontEndAttributes(source.attributes);
  const { [tagsAttribute]: _given, ...replaced } = metadata?.attributes ?? {};
  const checksum = pick(others, [algorithmAttribute, valueAttribute]);
  return {
    ...(metadata === undefined ? others : { ...replaced, ...checksum }),
    ...(tags ?? (sourceTags === undefined ? {} : { [tagsAttribute]: sourceTags })),
  };
}

function pick(
  attributes: Readonly<Record<string, string>>,
  names: readonly string[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => names.includes(name)));
}

/** A checksum that is asked for, and that nobody has computed, is made by reading the source. */
async function checksumAttributesFor(
  { objects }: S3Services,
  {
    request,
    caller,
  }: { readonly request: Exchange["request"]; readonly caller: { readonly actor: Actor } },
  {
    from,
    source,
    algorithm,
  }: {
    readonly from: ObjectAddress;
    readonly source: ObjectRecord;
    readonly algorithm: ChecksumAlgorithm | undefined;
  },
): Promise<Readonly<Record<string, string>>> {
  if (algorithm === undefined) return {};
  const { digest } = checksumAlgorithms[algorithm];
  if (source.digests[digest] !== undefined) return { [algorithmAttribute]: algorithm };
  const { object, read } = await objects.open(caller.actor, from);
  if (object.version !== source.version) {
    throw new OperationalError("precondition_failed", "the source was replaced meanwhile");
  }
  const running = new RunningDigests([digest]);
  await using body = await read({ signal: requestSignal(request) });
  for await (const chunk of body) running.update(chunk);
  const value = running.finish()[digest];
  assert(value !== undefined, "the digest that was asked for is made");
  return { [algorithmAttribute]: algorithm, [valueAttribute]: base64Of(value) };
}
