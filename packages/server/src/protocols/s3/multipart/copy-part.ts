/** `PUT ?partNumber&uploadId` with `x-amz-copy-source`: a part made of bytes that are here already. */
import type { CopyPartRequest } from "../../../core/multipart/index.ts";
import type { ObjectRecord } from "../../../core/ports/metadata-store.ts";
import { requestSignal } from "../../../http/index.ts";
import { headerText } from "../objects/checksums.ts";
import { judgeCopySource } from "../objects/conditions.ts";
import { copySource } from "../objects/copy.ts";
import { entityTooLarge, invalidArgument, putBytesMax } from "../objects/refusals.ts";
import type { Handler, ObjectExchange, S3Services } from "../services.ts";
import { digestElement, extraAlgorithm } from "./checksum-fields.ts";
import { sendXmlWhenDone } from "./keep-alive.ts";
import { requiredPartNumber, uploadAddress } from "./upload-address.ts";

export const copyPart =
  ({ multipart, log }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { request, caller } = exchange;
    const { headers } = request;
    const address = uploadAddress(exchange);
    const partNumber = requiredPartNumber(exchange);
    const from = copySource(headerText(headers, "x-amz-copy-source") ?? "");
    const range = sourceRange(headerText(headers, "x-amz-copy-source-range"));
    const judge = (source: ObjectRecord): void => {
      judgeCopySource(headers, source);
      assertWithin(range, source);
    };
    await sendXmlWhenDone(
      exchange,
      "CopyPartResult",
      async () => {
        const signal = requestSignal(request);
        const copied = { partNumber, from, ...range, judge, signal };
        const part = await multipart.copyPart(caller.actor, address, copied);
        return {
          LastModified: part.createdAt,
          ETag: `"${part.etag}"`,
          ...digestElement(part.digests, extraAlgorithm(part.digests)),
        };
      },
      { log },
    );
  };

type SourceRange = Pick<CopyPartRequest, "firstByte" | "lastByte">;

/** `bytes=a-b`, both given. `InvalidArgument`. */
function sourceRange(text: string | undefined): SourceRange {
  if (text === undefined) return {};
  const [, first, last] = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(text) ?? [];
  const [firstByte, lastByte] = [Number(first), Number(last)];
  if (firstByte <= lastByte) return { firstByte, lastByte };
  throw wrongRange(
    "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last " +
      "are the zero-based offsets of the first and last bytes to copy",
  );
}

function assertWithin({ firstByte = 0, lastByte }: SourceRange, { length }: ObjectRecord): void {
  if (lastByte !== undefined && lastByte >= length) {
    throw wrongRange(`Range specified is not valid for source object of size: ${length}`);
  }
  const bytes = (lastByte ?? length - 1) - firstByte + 1;
  if (bytes > putBytesMax) throw entityTooLarge(bytes);
}

function wrongRange(message: string) {
  return invalidArgument(message, { ArgumentName: "x-amz-copy-source-range" });
}
