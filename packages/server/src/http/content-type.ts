/** A declared content type, judged before it can reach a stored record or a header. */

const charactersMax = 255;
const pattern = /^[!#$%&'*+\-.^_`|~\w]+\/[!#$%&'*+\-.^_`|~\w]+[ \t]*(?:;[\t\x20-\x7e]*)?$/;

/** Whether it is `type/subtype` with, at most, parameters in ASCII. */
export function isContentType(text: string): boolean {
  return text.length <= charactersMax && pattern.test(text);
}
