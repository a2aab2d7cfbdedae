/** `POST ?uploads`: begins an upload in parts; everything about the object but its bytes is said here. */
import { sendXml } from "../answer.ts";
import { checksumAttributes } from "../objects/checksums.ts";
import { describeObject } from "../objects/described.ts";
import { fieldsOf } from "../objects/fields.ts";
import type { Handler, ObjectExchange, S3Services } from "../services.ts";
import { multipartChecksum, shownChecksum } from "./checksum-fields.ts";

export const createMultipart =
  ({ multipart }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { reply, caller, bucket, key } = exchange;
    const fields = fieldsOf(exchange);
    const { attributes, ...described } = describeObject(fields);
    const checksum = multipartChecksum(
      fields.get("x-amz-checksum-algorithm"),
      fields.get("x-amz-checksum-type"),
    );
    const shown = checksum === undefined ? undefined : shownChecksum(checksum);
    const upload = await multipart.create(caller.actor, {
      bucket,
      key,
      ...described,
      attributes: { ...attributes, ...checksumAttributes(shown?.algorithm) },
      ...(checksum === undefined ? {} : { checksum }),
    });
    if (shown !== undefined) {
      reply.header("x-amz-checksum-algorithm", shown.algorithm);
      reply.header("x-amz-checksum-type", shown.type);
    }
    return sendXml(exchange, "InitiateMultipartUploadResult", {
      Bucket: bucket,
      Key: key,
      UploadId: upload.id,
    });
  };
