/** Comparing content types and the ranges (`image/*`) that buckets and grants allow. */

/** Type and subtype in lower case, without parameters: `Text/HTML; charset=x` is `text/html`. */
export function essenceOf(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/** Whether a type falls in a range: `*`, `*\/*`, `image/*` or one type. Parameters never count. */
export function contentTypeMatches(contentType: string, range: string): boolean {
  const essence = essenceOf(contentType);
  const wanted = essenceOf(range);
  if (wanted === "*" || wanted === "*/*") return true;
  if (wanted.endsWith("/*")) return essence.startsWith(wanted.slice(0, -1));
  return essence === wanted;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Whether it can stand in a bucket's list: a type, `type/*`, or `*\/*`. */
export function isContentTypeRange(text: string): boolean {
  const [type, subtype, ...rest] = text.split("/");
  return (
    rest.length === 0 &&
    type !== undefined &&
    subtype !== undefined &&
    token.test(type) &&
    token.test(subtype)
  );
}
