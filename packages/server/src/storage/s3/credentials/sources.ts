// Credentials that are given, in the environment or in the file that all AWS tools share. The
// environment comes in as a value.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CredentialSource, Credentials } from "./credentials.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Always the same. */
export function staticCredentials(credentials: Credentials): CredentialSource {
  return async () => credentials;
}

/** `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for temporary ones, `AWS_SESSION_TOKEN`. */
export function environmentCredentials(environment: Environment): CredentialSource {
  return async () => {
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment;
    if (!accessKeyId || !secretAccessKey) {
      throw new Error("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set");
    }
    const sessionToken = environment.AWS_SESSION_TOKEN;
    return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
  };
}

export interface FileOptions {
  /** `AWS_SHARED_CREDENTIALS_FILE`, else `.aws/credentials` of `HOME`. */
  readonly path?: string | undefined;
  /** `AWS_PROFILE`, else `default`. */
  readonly profile?: string | undefined;
  readonly environment: Environment;
}

/** How often a file is read again, since whoever rotates keys rewrites it. */
const fileMsMax = 15 * 60_000;

/** A section of the shared credentials file; read again every 15 minutes. */
export function fileCredentials({ path, profile, environment }: FileOptions): CredentialSource {
  const file =
    path ??
    environment.AWS_SHARED_CREDENTIALS_FILE ??
    join(environment.HOME ?? "/", ".aws", "credentials");
  const section = profile ?? environment.AWS_PROFILE ?? "default";
  return async (signal) => {
    const text = await readFile(file, { encoding: "utf8", signal });
    const values = sectionOf(text, section);
    const accessKeyId = values.get("aws_access_key_id");
    const secretAccessKey = values.get("aws_secret_access_key");
    if (!accessKeyId || !secretAccessKey) {
      throw new Error(`the credentials file has no key under [${section}]`);
    }
    const sessionToken = values.get("aws_session_token");
    const expiresAt = new Date(Date.now() + fileMsMax);
    return { accessKeyId, secretAccessKey, expiresAt, ...(sessionToken && { sessionToken }) };
  };
}

function sectionOf(text: string, wanted: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  let section = "";
  for (const line of text.split(/\r?\n/)) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#") || trimmed.startsWith(";")) continue;
    const name = /^\[\s*(?:profile\s+)?(.+?)\s*\]$/.exec(trimmed)?.[1];
    if (name !== undefined) section = name;
    else if (section === wanted) {
      const at = trimmed.indexOf("=");
      if (at > 0)
        values.set(trimmed.slice(0, at).trim().toLowerCase(), trimmed.slice(at + 1).trim());
    }
  }
  return values;
}
