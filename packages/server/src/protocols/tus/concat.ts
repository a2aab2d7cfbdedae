/** `Upload-Concat`: a partial upload, or the final one that is made of others, named by their URLs. */
import { OperationalError } from "../../core/errors.ts";
import { badField } from "./fields.ts";

export type Concat =
  | { readonly kind: "partial" }
  | { readonly kind: "final" /** Upload ids. */; readonly parts: readonly string[] };

const name = "Upload-Concat";

/** How a final upload's field begins. */
const finalPrefix = "final;";

export function isFinal(text: string | undefined): boolean {
  return text?.startsWith(finalPrefix) ?? false;
}

/** `upload_not_found` for a URL that is none of an upload in the bucket. */
export function parseConcat(
  text: string,
  at: {
    /** Of the request: relative URLs begin here. */ readonly url: string;
    readonly bucket: string;
  },
): Concat {
  if (text === "partial") return { kind: "partial" };
  if (!isFinal(text)) throw badField(name, "is neither partial nor final;URL URL …");
  const urls = text
    .slice(finalPrefix.length)
    .split(" ")
    .filter((url) => url !== "");
  if (urls.length === 0) throw badField(name, "names no upload");
  return { kind: "final", parts: urls.map((url) => partId(url, at)) };
}

/**
 * Only the path counts: behind proxies the host may be any of ours, and a prefix may stand before it.
 * Whose upload it is and in which bucket core judges by the id.
 */
function partId(url: string, at: { readonly url: string; readonly bucket: string }): string {
  if (!URL.canParse(url, at.url)) throw badField(name, "has a URL that is malformed");
  const [mount, bucket, id] = new URL(url, at.url).pathname.split("/").slice(-3);
  if (mount === "tus" && bucket === at.bucket && id) return id;
  throw new OperationalError("upload_not_found", `${name} names what is no upload of this bucket`);
}
