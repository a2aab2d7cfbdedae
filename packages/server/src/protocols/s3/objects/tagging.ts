/** `?tagging` of an object: `GET`, `PUT` and `DELETE`. Its version and its bytes stay. */
import { authorize } from "../../../core/access.ts";
import { sendXml } from "../answer.ts";
import type { Handler, ObjectExchange, S3Services } from "../services.ts";
import { childOf, childrenOf, childText, malformed, type XmlElement } from "../xml.ts";
import { receiveXml } from "./small-body.ts";
import { checkTags, formatTags, type Tags, tagsAttribute, tagsOf } from "./tags.ts";

const documentBytesMax = 64 * 1024;

export const getTagging =
  ({ objects }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { caller, bucket, key } = exchange;
    // Who may read the bytes because anybody may is not told what else is kept of them.
    authorize(caller.actor, "object:read", { bucket, key });
    const object = await objects.head(caller.actor, { bucket, key });
    return sendXml(exchange, "Tagging", {
      TagSet: { Tag: tagsOf(object.attributes).map(([Key, Value]) => ({ Key, Value })) },
    });
  };

export const putTagging =
  ({ objects }: S3Services): Handler<ObjectExchange> =>
  async (exchange) => {
    const { reply, caller, bucket, key } = exchange;
    const limits = { bytesMax: documentBytesMax };
    const tags = parseDocument(await receiveXml(exchange, limits, { checksumNeeded: true }));
    const text = tags.length === 0 ? null : formatTags(tags);
    await objects.change(caller.actor, { bucket, key }, { attributes: { [tagsAttribute]: text } });
    return reply.code(200).send();
  };

export const deleteTagging =
  ({ objects }: S3Services): Handler<ObjectExchange> =>
  async ({ reply, caller, bucket, key }) => {
    await objects.change(caller.actor, { bucket, key }, { attributes: { [tagsAttribute]: null } });
    return reply.code(204).send();
  };

/** A `Tagging` document, as a request's body or a field of a form. `MalformedXML`, `InvalidTag`. */
export function parseDocument(root: XmlElement): Tags {
  const set = childOf(root, "TagSet");
  if (root.name !== "Tagging" || set === undefined) throw malformed("is not a Tagging");
  return checkTags(
    childrenOf(set, "Tag").map((tag) => {
      const [name, value] = [childText(tag, "Key"), childText(tag, "Value")];
      if (name === undefined || value === undefined)
        throw malformed("has a tag without a key or value");
      return [name, value] as const;
    }),
  );
}
