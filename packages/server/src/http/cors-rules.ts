/**
 * A bucket's own CORS rules, in the order in which they are tried: the first that allows the origin, the
 * method and every header decides.
 */
import type { CorsRule } from "../core/ports/metadata-store.ts";

export interface CorsQuestion {
  readonly origin: string;
  readonly method: string;
  /** In lower case. */
  readonly headers: readonly string[];
}

export function findCorsRule(
  rules: readonly CorsRule[],
  { origin, method, headers }: CorsQuestion,
): CorsRule | undefined {
  return rules.find(
    (rule) =>
      allowsMethod(rule, method) &&
      rule.allowedOrigins.some((pattern) => matches(pattern, origin)) &&
      headers.every((name) => {
        return rule.allowedHeaders.some((pattern) => matches(pattern.toLowerCase(), name));
      }),
  );
}

/**
 * Rules know the methods of S3 alone: appending to an upload is a write, a HEAD shows less than the GET,
 * and asking what is offered is no use of it.
 */
function allowsMethod({ allowedMethods }: CorsRule, method: string): boolean {
  if (method === "OPTIONS") return true;
  if (method === "PATCH") return allowedMethods.includes("PUT") || allowedMethods.includes("POST");
  if (method === "HEAD" && allowedMethods.includes("GET")) return true;
  return allowedMethods.includes(method);
}

/** With at most one `*`, which stands for any text. */
function matches(pattern: string, text: string): boolean {
  const star = pattern.indexOf("*");
  if (star === -1) return pattern === text;
  const [start, end] = [pattern.slice(0, star), pattern.slice(star + 1)];
  return text.length >= start.length + end.length && text.startsWith(start) && text.endsWith(end);
}
