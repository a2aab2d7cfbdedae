/** Buckets that are named by the host: `BUCKET.s3.example`. */

/** The label, or labels, before the longest domain that the host ends in; `undefined`: none. */
export function bucketOfHost(host: string, domains: readonly string[]): string | undefined {
  const name = host.toLowerCase().replace(/:\d*$/, "");
  if (domains.includes(name)) return undefined;
  const [domain] = domains
    .filter((known) => name.endsWith(`.${known}`))
    .toSorted((one, other) => other.length - one.length);
  return domain === undefined ? undefined : name.slice(0, -domain.length - 1);
}
