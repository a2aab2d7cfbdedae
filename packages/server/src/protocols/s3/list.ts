/** Lists of objects, in order of the keys' UTF-8 bytes: ListObjects, ListObjectsV2, ListObjectVersions. */
import { listLimitMax } from "@roma/contract";
import { authorize } from "../../core/access.ts";
import { parsePrefix } from "../../core/object-key.ts";
import type { ListPage, ObjectRecord } from "../../core/ports/metadata-store.ts";
import { sendXml } from "./answer.ts";
import { encodeListed, type ListEncoding, listEncoding } from "./list-encoding.ts";
import { pageToken, parsePageToken } from "./list-token.ts";
import { wrongArgument } from "./query.ts";
import type { Exchange, Handler, OperationRow, S3Services } from "./services.ts";
import type { XmlValue } from "./xml.ts";

export function listOperations(services: S3Services): readonly OperationRow[] {
  return [
    { method: "GET", on: "bucket", operation: "ListObjects", handler: listV1(services) },
    {
      method: "GET",
      on: "bucket",
      when: "list-type",
      operation: "ListObjectsV2",
      handler: listV2(services),
    },
    {
      method: "GET",
      on: "bucket",
      when: "versions",
      operation: "ListObjectVersions",
      handler: listVersions(services),
    },
  ];
}

/** What all three are asked. */
interface Asked {
  readonly prefix: ReturnType<typeof parsePrefix>;
  readonly delimiter: string;
  readonly limit: number;
  readonly encoding: ListEncoding;
}

function asked({ query }: Exchange): Asked {
  return {
    prefix: parsePrefix(query.get("prefix") ?? ""),
    delimiter: query.get("delimiter") ?? "",
    limit: query.integer("max-keys", { min: 0, max: listLimitMax, otherwise: listLimitMax }),
    encoding: listEncoding(query.get("encoding-type")),
  };
}

/** A page of no entries is empty and the last one, whatever there is. */
async function pageOf(
  { objects, buckets }: S3Services,
  { caller: { actor }, bucket }: Exchange,
  { prefix, delimiter, limit, after }: Asked & { readonly after: string },
): Promise<ListPage> {
  if (limit === 0) {
    authorize(actor, "object:list", { bucket, prefix });
    await buckets.require(bucket);
    return { objects: [], prefixes: [] };
  }
  const from = after === "" ? {} : { after };
  return objects.list(actor, { bucket, prefix, delimiter, limit, ...from });
}

const listV1 =
  (services: S3Services): Handler =>
  async (exchange) => {
    const given = asked(exchange);
    const { encoding, delimiter } = given;
    const marker = exchange.query.get("marker") ?? "";
    const page = await pageOf(services, exchange, { ...given, after: marker });
    const next = delimiter === "" ? undefined : page.next;
    return sendXml(exchange, "ListBucketResult", {
      ...head(exchange, given, page),
      Marker: encodeListed(marker, encoding),
      NextMarker: next === undefined ? undefined : encodeListed(next, encoding),
      Contents: page.objects.map((object) => entry(services, object, encoding, true)),
      CommonPrefixes: commonPrefixes(page, encoding),
    });
  };

const listV2 =
  (services: S3Services): Handler =>
  async (exchange) => {
    const { query, bucket } = exchange;
    const type = query.get("list-type") ?? "";
    if (type !== "2") throw wrongArgument("list-type", type, "must be 2");
    const given = asked(exchange);
    const { encoding } = given;
    const start = query.get("start-after");
    const token = query.get("continuation-token");
    if (token === "") throw wrongArgument("continuation-token", "", "is empty");
    const after = token === undefined ? (start ?? "") : parsePageToken(bucket, token);
    const page = await pageOf(services, exchange, { ...given, after });
    const withOwner = query.get("fetch-owner") === "true";
    return sendXml(exchange, "ListBucketResult", {
      ...head(exchange, given, page),
      KeyCount: page.objects.length + page.prefixes.length,
      StartAfter: start === undefined ? undefined : encodeListed(start, encoding),
      ContinuationToken: token,
      NextContinuationToken: page.next === undefined ? undefined : pageToken(bucket, page.next),
      Contents: page.objects.map((object) => entry(services, object, encoding, withOwner)),
      CommonPrefixes: commonPrefixes(page, encoding),
    });
  };

/** Each object as its one version, which is called `null` where none are kept. */
const listVersions =
  (services: S3Services): Handler =>
  async (exchange) => {
    const given = asked(exchange);
    const { encoding } = given;
    const marker = exchange.query.get("key-marker") ?? "";
    const versionMarker = exchange.query.get("version-id-marker");
    if (versionMarker !== undefined && versionMarker !== "" && marker === "") {
      throw wrongArgument("version-id-marker", versionMarker, "needs a key-marker");
    }
    const page = await pageOf(services, exchange, { ...given, after: marker });
    return sendXml(exchange, "ListVersionsResult", {
      ...head(exchange, given, page),
      KeyMarker: encodeListed(marker, encoding),
      VersionIdMarker: versionMarker ?? "",
      NextKeyMarker: page.next === undefined ? undefined : encodeListed(page.next, encoding),
      NextVersionIdMarker: page.next === undefined ? undefined : "null",
      Version: page.objects.map((object) => ({
        ...entry(services, object, encoding, true),
        VersionId: "null",
        IsLatest: true,
      })),
      CommonPrefixes: commonPrefixes(page, encoding),
    });
  };

function head(exchange: Exchange, given: Asked, page: ListPage) {
  const { prefix, delimiter, limit, encoding } = given;
  return {
    Name: exchange.bucket,
    Prefix: encodeListed(prefix, encoding),
    Delimiter: delimiter === "" ? undefined : encodeListed(delimiter, encoding),
    MaxKeys: limit,
    EncodingType: encoding,
    IsTruncated: page.next !== undefined,
  };
}

function entry(
  { owner }: S3Services,
  object: ObjectRecord,
  encoding: ListEncoding,
  withOwner: boolean,
): { readonly [name: string]: XmlValue } {
  return {
    Key: encodeListed(object.key, encoding),
    LastModified: object.createdAt,
    ETag: `"${object.etag}"`,
    Size: object.length,
    Owner: withOwner ? { ID: owner.id, DisplayName: owner.displayName } : undefined,
    StorageClass: "STANDARD",
  };
}

function commonPrefixes(page: ListPage, encoding: ListEncoding): XmlValue {
  return page.prefixes.map((prefix) => ({ Prefix: encodeListed(prefix, encoding) }));
}
