/**
 * Where clients read a file. Parse keeps names alone and asks for the URL whenever an object is read: so it is made
 * here from the name, without asking anybody.
 */
import { mintGrant } from "@roma/sdk/server";
import type { ParsedOptions } from "./options.ts";

/** The key of a file; `filename` has its directory in front. */
export function keyOf({ prefix }: ParsedOptions, filename: string): string {
  return prefix + filename;
}

/** An absolute URL that reads the file. */
export function locationOf(options: ParsedOptions, filename: string, now: Date): string {
  const { credential, bucket, baseUrl, signed, urlLifetimeSeconds } = options;
  const key = keyOf(options, filename);
  const url = `${baseUrl}/${key.split("/").map(encodeURIComponent).join("/")}`;
  if (!signed) return url;
  // The same text for half a lifetime: what a browser or a CDN has of it stays of use.
  const periodMs = urlLifetimeSeconds * 500;
  const grant = mintGrant({
    ...{ keyId: credential.id, secret: credential.secret, bucket, key },
    actions: ["object:read"],
    methods: ["GET", "HEAD"],
    id: "parse",
    lifetimeSeconds: urlLifetimeSeconds,
    now: new Date(Math.floor(now.getTime() / periodMs) * periodMs),
  });
  return `${url}?grant=${grant}`;
}
