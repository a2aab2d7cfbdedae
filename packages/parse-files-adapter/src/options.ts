/** What the adapter is configured with: given, or from the environment; checked once, all problems told together. */

import { keyBytesMax } from "@roma/contract";

/** Options of the adapter. What is left out comes from the environment, then from the default. */
export interface RomaFilesAdapterOptions {
  /** Address of the server, as parse-server reaches it. Environment: `ROMA_ENDPOINT`. Default `http://127.0.0.1:8420`. */
  readonly endpoint?: string | undefined;
  /** An access key that may read, write and delete in the bucket: `ID.SECRET`, or its parts. Environment: `ROMA_KEY`. */
  readonly key?: string | { readonly id: string; readonly secret: string } | undefined;
  /** Where files are kept; it must exist. Environment: `ROMA_BUCKET`. Default `parse`. */
  readonly bucket?: string | undefined;
  /** In front of each file's name, `app1/` for instance; at most 200 bytes. Default: nothing. */
  readonly prefix?: string | undefined;
  /**
   * What a file's encoded key is appended to, for its URL: `https://cdn.example.com/parse`. Default
   * `ENDPOINT/v1/objects/BUCKET`, which clients must be able to reach.
   */
  readonly baseUrl?: string | undefined;
  /**
   * Whether URLs carry a grant to read the one file. False for a bucket that is `public-read`, or a CDN that checks by
   * itself. Default true.
   */
  readonly signed?: boolean | undefined;
  /**
   * Seconds that a signed URL is good for, 60 to 604,800 (7 days). A URL stays the same for half of that, so that caches
   * find it again; at any time it is good for at least the other half. Default 86,400.
   */
  readonly urlLifetimeSeconds?: number | undefined;
}

/** Options with all defaults, checked. */
export interface ParsedOptions {
  readonly endpoint: string;
  readonly credential: { readonly id: string; readonly secret: string };
  readonly bucket: string;
  readonly prefix: string;
  readonly baseUrl: string;
  readonly signed: boolean;
  readonly urlLifetimeSeconds: number;
}

const names: readonly (keyof RomaFilesAdapterOptions)[] = [
  ...(["endpoint", "key", "bucket", "prefix", "baseUrl", "signed", "urlLifetimeSeconds"] as const),
];
const prefixBytesMax = 200;
const urlLifetimeSecondsMin = 60;
const urlLifetimeSecondsMax = 7 * 24 * 60 * 60;

/** Throws an `Error` that names each option that is not good, with what it must be. */
export function parseOptions(
  given: unknown,
  environment: Readonly<Record<string, string | undefined>>,
): ParsedOptions {
  if (given !== undefined && (typeof given !== "object" || given === null)) {
    throw optionsError(["the options must be an object"]);
  }
  const fields: Readonly<Record<string, unknown>> = { ...given };
  const problems = Object.keys(fields)
    .filter((name) => !names.some((known) => known === name))
    .map((name) => `\`${name}\` is not an option; there are ${names.join(", ")}`);
  const check = <T>(name: string, parse: () => T): T | undefined => {
    try {
      return parse();
    } catch (error) {
      problems.push(`\`${name}\` ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  };
  const value = (name: keyof RomaFilesAdapterOptions, variable?: string): unknown =>
    fields[name] ?? (variable === undefined ? undefined : environment[variable] || undefined);

  const endpoint = check("endpoint", () =>
    parseAddress(value("endpoint", "ROMA_ENDPOINT") ?? "http://127.0.0.1:8420"),
  );
  const credential = check("key", () => parseKey(value("key", "ROMA_KEY")));
  const bucket = check("bucket", () => parseBucket(value("bucket", "ROMA_BUCKET") ?? "parse"));
  const prefix = check("prefix", () => parsePrefix(value("prefix") ?? ""));
  const baseUrl = check("baseUrl", () =>
    parseAddress(value("baseUrl") ?? `${endpoint ?? "http://-"}/v1/objects/${bucket ?? "-"}`),
  );
  const signed = check("signed", () => parseBoolean(value("signed") ?? true));
  const urlLifetimeSeconds = check("urlLifetimeSeconds", () =>
    parseLifetime(value("urlLifetimeSeconds") ?? 86_400),
  );
  if (
    problems.length > 0 ||
    endpoint === undefined ||
    credential === undefined ||
    bucket === undefined ||
    prefix === undefined ||
    baseUrl === undefined ||
    signed === undefined ||
    urlLifetimeSeconds === undefined
  ) {
    throw optionsError(problems);
  }
  return { endpoint, credential, bucket, prefix, baseUrl, signed, urlLifetimeSeconds };
}

function optionsError(problems: readonly string[]): Error {
  return new Error(`@roma/parse-files-adapter: ${problems.join("; ")}`);
}

function parseAddress(value: unknown): string {
  const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search || url.hash) {
    throw new Error(
      "must be an http or https address without query, like https://files.example.com",
    );
  }
  if (url.username || url.password) throw new Error("must not hold a password; give `key`");
  return url.origin + url.pathname.replace(/\/+$/, "");
}

function parseKey(value: unknown): ParsedOptions["credential"] {
  const [, id, secret] =
    typeof value === "string"
      ? (/^([^.:]+)[.:](.+)$/s.exec(value) ?? [])
      : typeof value === "object" && value !== null && "id" in value && "secret" in value
        ? [undefined, value.id, value.secret]
        : [];
  if (typeof id !== "string" || typeof secret !== "string" || id === "" || secret === "") {
    // Whatever was given may be a secret.
    throw new Error("must be an access key as ID.SECRET, or { id, secret } (or set ROMA_KEY)");
  }
  return { id, secret };
}

function parseBucket(value: unknown): string {
  if (typeof value === "string" && /^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$/.test(value)) return value;
  throw new Error("must be a bucket's name: 1 to 63 letters, digits, `.`, `_` or `-`");
}

function parsePrefix(value: unknown): string {
  const good =
    typeof value === "string" &&
    value.isWellFormed() &&
    !value.includes("\0") &&
    !value.split("/").some((segment) => segment === "." || segment === "..");
  if (!good || Buffer.byteLength(value) > Math.min(prefixBytesMax, keyBytesMax)) {
    throw new Error(
      `must be text of at most ${prefixBytesMax} bytes without NUL, . and .. segments`,
    );
  }
  return value;
}

function parseBoolean(value: unknown): boolean {
  if (typeof value !== "boolean") throw new Error("must be true or false");
  return value;
}

function parseLifetime(value: unknown): number {
  const good = typeof value === "number" && Number.isInteger(value);
  if (!good || value < urlLifetimeSecondsMin || value > urlLifetimeSecondsMax) {
    throw new Error(
      `must be a whole number of seconds, ${urlLifetimeSecondsMin} to ${urlLifetimeSecondsMax}`,
    );
  }
  return value;
}
