/**
 * `POST ?uploadId`: the parts that the document names, in its order, become the object. Asked for again it
 * is answered as before.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { CompleteMultipartRequest, NamedPart } from "../../../core/multipart/index.ts";
import type { Digests } from "../../../core/ports/storage-driver.ts";
import { etagField, publicOrigin, requestSignal } from "../../../http/index.ts";
import { objectPath } from "../address.ts";
import { refusal } from "../errors.ts";
import {
  algorithmNames,
  checksumAlgorithms,
  checksumElements,
  checksumOf,
  checksumValue,
  headerText,
} from "../objects/checksums.ts";
import { underConditions, writeConditions } from "../objects/conditions.ts";
import { partNumberMax } from "../objects/part-number.ts";
import { invalidArgument, invalidRequest } from "../objects/refusals.ts";
import { receiveXml } from "../objects/small-body.ts";
import type { Handler, ObjectExchange, S3Services } from "../services.ts";
import { childrenOf, childText, malformed, type XmlElement } from "../xml.ts";
import { checksumType, coreType, nameOf } from "./checksum-fields.ts";
import { sendXmlWhenDone } from "./keep-alive.ts";
import { uploadAddress } from "./upload-address.ts";

/** 10,000 parts with every checksum there is. */
const documentBytesMax = 8 * 1024 * 1024;

export const completeMultipart =
  (services: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { request, caller, bucket, key, basePath } = exchange;
    const address = uploadAddress(exchange);
    const conditions = writeConditions(request.headers);
    const whole = declaredWhole(request.headers);
    const limits = { bytesMax: documentBytesMax, checksumsAreOf: "object" as const };
    const parts = parseParts(await receiveXml(exchange, limits, { checksumNeeded: false }));
    const { publicUrl } = services;
    const origin = publicOrigin(request, publicUrl === undefined ? {} : { publicUrl });
    await sendXmlWhenDone(
      exchange,
      "CompleteMultipartUploadResult",
      async () => {
        const { object } = await underConditions(services, exchange, {
          conditions,
          run: () =>
            services.multipart.complete(caller.actor, address, {
              parts,
              conditions,
              ...whole,
              signal: requestSignal(request),
            }),
        });
        return {
          Location: `${origin}${objectPath(basePath, bucket, key)}`,
          Bucket: bucket,
          Key: key,
          ETag: etagField(object),
          ...checksumElements(checksumOf(object)),
        };
      },
      services,
    );
  };

function parseParts(root: XmlElement): readonly NamedPart[] {
  if (root.name !== "CompleteMultipartUpload") throw malformed("is not a CompleteMultipartUpload");
  const parts = childrenOf(root, "Part").map(parsePart);
  if (parts.length === 0) throw malformed("names no part");
  if (parts.length > partNumberMax) throw malformed(`names more than ${partNumberMax} parts`);
  let before = 0;
  for (const { partNumber } of parts) {
    if (partNumber <= before) {
      throw refusal(
        "InvalidPartOrder",
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
      );
    }
    before = partNumber;
  }
  return parts;
}

function parsePart(element: XmlElement): NamedPart {
  const number = childText(element, "PartNumber")?.trim() ?? "";
  const etag = childText(element, "ETag")?.trim();
  if (etag === undefined || !/^\d{1,9}$/.test(number)) {
    throw malformed("has a part without a PartNumber or ETag");
  }
  const partNumber = Number(number);
  if (partNumber < 1 || partNumber > partNumberMax) {
    throw invalidArgument(`PartNumber must be an integer between 1 and ${partNumberMax}`, {
      ArgumentName: "PartNumber",
      ArgumentValue: number,
    });
  }
  const digests: Record<string, Uint8Array> = {};
  for (const algorithm of algorithmNames) {
    const { digest, element: name } = checksumAlgorithms[algorithm];
    const text = childText(element, name);
    if (text !== undefined) digests[digest] = checksumValue(algorithm, text, name);
  }
  return { partNumber, etag: etag.replace(/^"(.*)"$/s, "$1"), digests };
}

type DeclaredWhole = Pick<
  CompleteMultipartRequest,
  "length" | "digests" | "composite" | "checksum"
>;

/** What the headers say of the object. */
function declaredWhole(headers: IncomingHttpHeaders): DeclaredWhole {
  const size = headerText(headers, "x-amz-mp-object-size");
  if (size !== undefined && !/^\d{1,15}$/.test(size)) {
    throw invalidRequest("Value for x-amz-mp-object-size header is invalid.");
  }
  const type = headerText(headers, "x-amz-checksum-type");
  const given = algorithmNames.filter(
    (algorithm) => headers[checksumAlgorithms[algorithm].header] !== undefined,
  );
  const [algorithm, another] = given;
  if (another !== undefined) throw invalidRequest("Expecting a single x-amz-checksum- header.");
  const checksum = {
    ...(algorithm === undefined ? {} : { name: nameOf(algorithm) }),
    ...(type === undefined ? {} : { type: coreType(checksumType(type)) }),
  };
  return {
    ...(size === undefined ? {} : { length: Number(size) }),
    ...(Object.keys(checksum).length === 0 ? {} : { checksum }),
    ...(algorithm === undefined ? {} : wholeDigest(headers, algorithm)),
  };
}

/** With `-N` it is of the parts' digests. */
function wholeDigest(
  headers: IncomingHttpHeaders,
  algorithm: (typeof algorithmNames)[number],
): Pick<DeclaredWhole, "digests" | "composite"> {
  const { digest, header } = checksumAlgorithms[algorithm];
  const text = headerText(headers, header) ?? "";
  const [, value = text, count] = /^(.*)-(\d{1,5})$/.exec(text) ?? [];
  const digests: Digests = { [digest]: checksumValue(algorithm, value, header) };
  return count === undefined ? { digests } : { composite: digests };
}
