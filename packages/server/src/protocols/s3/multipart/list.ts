/** `GET ?uploadId` of an object: its parts so far. `GET ?uploads` of a bucket: the uploads that run. */
import type { ListMultipartPage } from "../../../core/multipart/index.ts";
import { sendXml } from "../answer.ts";
import { encodeListed, listEncoding } from "../list-encoding.ts";
import { partNumberMax } from "../objects/part-number.ts";
import type { Exchange, Handler, ObjectExchange, S3Services } from "../services.ts";
import type { XmlValue } from "../xml.ts";
import { digestElement, shownChecksum } from "./checksum-fields.ts";
import { uploadAddress } from "./upload-address.ts";

const pageMax = 1000;

export const listParts =
  ({ multipart, owner }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { caller, bucket, key, query } = exchange;
    const address = uploadAddress(exchange);
    const limit = query.integer("max-parts", { min: 0, max: pageMax, otherwise: pageMax });
    const after = query.integer("part-number-marker", { min: 0, max: partNumberMax, otherwise: 0 });
    // A page of no parts is asked for one all the same: whether there is an upload is the question.
    const page = await multipart.listParts(caller.actor, address, {
      after,
      limit: Math.max(limit, 1),
    });
    const parts = page.parts.slice(0, limit);
    const { checksum } = page.upload;
    const shown = checksum === undefined ? undefined : shownChecksum(checksum);
    const Owner = { ID: owner.id, DisplayName: owner.displayName };
    return sendXml(exchange, "ListPartsResult", {
      Bucket: bucket,
      Key: key,
      UploadId: address.uploadId,
      PartNumberMarker: after,
      NextPartNumberMarker: parts.at(-1)?.partNumber ?? after,
      MaxParts: limit,
      IsTruncated: limit > 0 && page.next !== undefined,
      Part: parts.map(({ partNumber, createdAt, etag, length, digests }) => ({
        PartNumber: partNumber,
        LastModified: createdAt,
        ETag: `"${etag}"`,
        Size: length,
        ...digestElement(digests, shown?.algorithm),
      })),
      Initiator: Owner,
      Owner,
      StorageClass: "STANDARD",
      ChecksumAlgorithm: shown?.algorithm,
      ChecksumType: shown?.type,
    });
  };

export const listUploads =
  ({ multipart, owner }: S3Services): Handler =>
  async (exchange) => {
    const { caller, bucket, query } = exchange;
    const limit = query.integer("max-uploads", { min: 0, max: pageMax, otherwise: pageMax });
    const encoding = listEncoding(query.get("encoding-type"));
    const encoded = (text: string): string => encodeListed(text, encoding);
    const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter") ?? ""];
    const markers = markersOf(exchange);
    const found = await multipart.list(caller.actor, {
      bucket,
      prefix,
      delimiter,
      limit: Math.max(limit, 1),
      ...(markers.key === "" ? {} : { after: afterOf(markers) }),
    });
    const page: ListMultipartPage = limit === 0 ? { uploads: [], prefixes: [] } : found;
    const Owner = { ID: owner.id, DisplayName: owner.displayName };
    return sendXml(exchange, "ListMultipartUploadsResult", {
      Bucket: bucket,
      KeyMarker: encoded(markers.key),
      UploadIdMarker: markers.id,
      NextKeyMarker: page.next === undefined ? undefined : encoded(page.next.key),
      NextUploadIdMarker: page.next?.id,
      Prefix: encoded(prefix),
      Delimiter: delimiter === "" ? undefined : encoded(delimiter),
      MaxUploads: limit,
      IsTruncated: page.next !== undefined,
      EncodingType: encoding,
      Upload: page.uploads.map(({ key, id, createdAt, checksum }) => {
        const shown = checksum === undefined ? undefined : shownChecksum(checksum);
        return {
          Key: encoded(key),
          UploadId: id,
          Initiator: Owner,
          Owner,
          StorageClass: "STANDARD",
          Initiated: createdAt,
          ChecksumAlgorithm: shown?.algorithm,
          ChecksumType: shown?.type,
        };
      }),
      CommonPrefixes: page.prefixes.map((text): XmlValue => ({ Prefix: encoded(text) })),
    });
  };

interface Markers {
  /** Empty: from the beginning. */
  readonly key: string;
  readonly id: string;
}

function markersOf({ query }: Exchange): Markers {
  return { key: query.get("key-marker") ?? "", id: query.get("upload-id-marker") ?? "" };
}

function afterOf({ key, id }: Markers) {
  return id === "" ? { key } : { key, id };
}
