/** `GET ?attributes`: of an object only what was asked for. */
import { partSizesOf } from "../../../core/multipart/index.ts";
import type { OpenObject } from "../../../core/objects.ts";
import { sendXml } from "../answer.ts";
import type { Exchange, Handler, ObjectExchange, S3Services } from "../services.ts";
import type { XmlValue } from "../xml.ts";
import { base64Of, checksumAlgorithms, checksumElements, checksumOf } from "./checksums.ts";
import { invalidArgument, invalidRequest } from "./refusals.ts";

const partsMax = 1000;

export const getAttributes =
  ({ objects }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { reply, caller, bucket, key } = exchange;
    const asked = askedAttributes(exchange);
    const page = partsPage(exchange);
    const opened = await objects.open(caller.actor, { bucket, key });
    reply.header("last-modified", opened.object.createdAt.toUTCString());
    const values = Object.entries(shown).filter(([name]) => asked.has(name));
    const elements: [string, XmlValue][] = [];
    for (const [name, show] of values) elements.push([name, await show(opened, page)]);
    return sendXml(exchange, "GetObjectAttributesResponse", Object.fromEntries(elements));
  };

interface PartsPage {
  /** Numbers greater than this. */
  readonly after: number;
  readonly limit: number;
}

/** In the order of the document. The tag has no quotes here. */
const shown: Readonly<Record<string, Show>> = {
  ETag: ({ object }) => object.etag,
  Checksum: ({ object }) => checksumElements(checksumOf(object)),
  ObjectParts: objectParts,
  StorageClass: () => "STANDARD",
  ObjectSize: ({ object }) => object.length,
};

type Show = (opened: OpenObject, page: PartsPage) => XmlValue | Promise<XmlValue>;

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

/** Nothing of an object that did not come in parts. Each with its own checksum, if there is one. */
async function objectParts(
  { object, partDigests }: OpenObject,
  page: PartsPage,
): Promise<XmlValue> {
  const { after, limit } = page;
  const sizes = partSizesOf(object.attributes);
  if (sizes === undefined) return undefined;
  const { digest, element } = checksumAlgorithms[checksumOf(object).algorithm];
  const digests = await partDigests(page);
  const parts = sizes.slice(after, after + limit).map((Size, index) => {
    const PartNumber = after + index + 1;
    const own = digests.get(PartNumber)?.[digest];
    return { PartNumber, Size, ...(own && { [element]: base64Of(own) }) };
  });
  return {
    PartsCount: sizes.length,
    PartNumberMarker: after,
    NextPartNumberMarker: after + parts.length,
    MaxParts: limit,
    IsTruncated: after + parts.length < sizes.length,
    Part: parts,
  };
}
