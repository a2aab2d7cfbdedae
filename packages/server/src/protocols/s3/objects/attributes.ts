/** `GET ?attributes`: of an object only what was asked for. */
import { partSizesOf } from "../../../core/multipart/index.ts";
import type { ObjectRecord } from "../../../core/ports/metadata-store.ts";
import { sendXml } from "../answer.ts";
import type { Exchange, Handler, ObjectExchange, S3Services } from "../services.ts";
import type { XmlValue } from "../xml.ts";
import { checksumElements, checksumOf } from "./checksums.ts";
import { invalidArgument, invalidRequest } from "./refusals.ts";

const partsMax = 1000;

export const getAttributes =
  ({ objects }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { reply, caller, bucket, key } = exchange;
    const asked = askedAttributes(exchange);
    const page = partsPage(exchange);
    const object = await objects.head(caller.actor, { bucket, key });
    reply.header("last-modified", object.createdAt.toUTCString());
    const values = Object.entries(shown).filter(([name]) => asked.has(name));
    return sendXml(
      exchange,
      "GetObjectAttributesResponse",
      Object.fromEntries(values.map(([name, show]) => [name, show(object, page)])),
    );
  };

interface PartsPage {
  /** Numbers greater than this. */
  readonly after: number;
  readonly limit: number;
}

/** In the order of the document. The tag has no quotes here. */
const shown: Readonly<Record<string, (object: ObjectRecord, page: PartsPage) => XmlValue>> = {
  ETag: ({ etag }) => etag,
  Checksum: (object) => checksumElements(checksumOf(object)),
  ObjectParts: objectParts,
  StorageClass: () => "STANDARD",
  ObjectSize: ({ length }) => length,
};

function askedAttributes({ request }: Exchange): ReadonlySet<string> {
  const values = request.raw.headersDistinct["x-amz-object-attributes"];
  if (values === undefined) {
    throw invalidRequest(
      "The x-amz-object-attributes header specifying the attributes to be retrieved is missing",
    );
  }
  const names = values.flatMap((value) => value.split(",")).map((name) => name.trim());
  const unknown = names.find((name) => !Object.hasOwn(shown, name));
  if (unknown !== undefined) {
    throw invalidArgument("Invalid attribute name specified", {
      ArgumentName: "x-amz-object-attributes",
      ArgumentValue: unknown,
    });
  }
  return new Set(names);
}

function partsPage({ request }: Exchange): PartsPage {
  return {
    after: wholeNumber(request.headers, "x-amz-part-number-marker") ?? 0,
    limit: Math.min(wholeNumber(request.headers, "x-amz-max-parts") ?? partsMax, partsMax),
  };
}

function wholeNumber(headers: Exchange["request"]["headers"], name: string): number | undefined {
  const text = headers[name]?.toString();
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw invalidArgument(`${name} is not a whole number`, {
    ArgumentName: name,
    ArgumentValue: text,
  });
}

/** Nothing of an object that did not come in parts. */
function objectParts({ attributes }: ObjectRecord, { after, limit }: PartsPage): XmlValue {
  const sizes = partSizesOf(attributes);
  if (sizes === undefined) return undefined;
  const page = sizes.slice(after, after + limit);
  return {
    PartsCount: sizes.length,
    PartNumberMarker: after,
    NextPartNumberMarker: after + page.length,
    MaxParts: limit,
    IsTruncated: after + page.length < sizes.length,
    Part: page.map((Size, index) => ({ PartNumber: after + index + 1, Size })),
  };
}
