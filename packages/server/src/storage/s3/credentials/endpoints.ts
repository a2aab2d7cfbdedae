// Temporary credentials from where the process runs: a container's endpoint, or the metadata service
// of an instance (version 2, with its session token). Answers are small, parsed and bounded in time.

import { readFile } from "node:fs/promises";
import { type Dispatcher, request } from "undici";
import { z } from "zod";
import type { CredentialSource, Credentials } from "./credentials.ts";
import type { Environment } from "./sources.ts";

const answerBytesMax = 64 * 1024;

const answerSchema = z.object({
  AccessKeyId: z.string().min(1),
  SecretAccessKey: z.string().min(1),
  Token: z.string().min(1),
  Expiration: z.iso.datetime({ offset: true }),
});

/** Of a container: `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`. */
export function containerCredentials(
  environment: Environment,
  dispatcher?: Dispatcher,
): CredentialSource {
  return async (signal) => {
    const relative = environment.AWS_CONTAINER_CREDENTIALS_RELATIVE_URI;
    const full = environment.AWS_CONTAINER_CREDENTIALS_FULL_URI;
    if (relative === undefined && full === undefined) {
      throw new Error("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
    }
    const url = new URL(relative ?? full ?? "", "http://169.254.170.2");
    if (!isTrusted(url)) throw new Error("the container's endpoint is neither local nor https");
    const tokenFile = environment.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE;
    const token =
      tokenFile === undefined
        ? environment.AWS_CONTAINER_AUTHORIZATION_TOKEN
        : (await readFile(tokenFile, { encoding: "utf8", signal })).trim();
    const headers: Record<string, string> = token === undefined ? {} : { authorization: token };
    const text = await ask(url, { method: "GET", headers, signal, dispatcher });
    return parseCredentials(text, "the container's endpoint");
  };
}

export interface InstanceOptions {
  /** The metadata service; a link-local address unless a test says otherwise. */
  readonly endpoint?: string | undefined;
  readonly dispatcher?: Dispatcher;
}

/** Of an instance's role, by its metadata service. */
export function instanceCredentials(options: InstanceOptions = {}): CredentialSource {
  const { endpoint = "http://169.254.169.254", dispatcher } = options;
  return async (signal) => {
    const token = await ask(new URL("/latest/api/token", endpoint), {
      method: "PUT",
      headers: { "x-aws-ec2-metadata-token-ttl-seconds": "21600" },
      signal,
      dispatcher,
    });
    const headers = { "x-aws-ec2-metadata-token": token.trim() };
    const roles = new URL("/latest/meta-data/iam/security-credentials/", endpoint);
    const names = await ask(roles, { method: "GET", headers, signal, dispatcher });
    const role = names.split("\n")[0]?.trim() ?? "";
    if (role === "") throw new Error("the instance has no role");
    const url = new URL(encodeURIComponent(role), roles);
    const text = await ask(url, { method: "GET", headers, signal, dispatcher });
    return parseCredentials(text, "the instance's metadata service");
  };
}

interface Question {
  readonly method: "GET" | "PUT";
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly dispatcher: Dispatcher | undefined;
}

async function ask(url: URL, { method, headers, signal, dispatcher }: Question): Promise<string> {
  const answer = await request(url, {
    method,
    headers,
    signal: AbortSignal.any([signal, AbortSignal.timeout(5_000)]),
    ...(dispatcher !== undefined && { dispatcher }),
  });
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer.body) {
    if (!Buffer.isBuffer(chunk)) continue;
    length += chunk.length;
    if (length > answerBytesMax) throw new Error("credentials longer than 64 KiB");
    chunks.push(chunk);
  }
  if (answer.statusCode !== 200) throw new Error(`credentials: status ${answer.statusCode}`);
  return Buffer.concat(chunks).toString();
}

function parseCredentials(text: string, source: string): Credentials {
  const parsed = answerSchema.safeParse(jsonOf(text));
  // The answer holds a secret: nothing of it enters the message.
  if (!parsed.success) throw new Error(`${source} did not answer with credentials`);
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = parsed.data;
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: Token,
    expiresAt: new Date(Expiration),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isTrusted({ protocol, hostname }: URL): boolean {
  if (protocol === "https:") return true;
  if (protocol !== "http:") return false;
  const local = ["localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
  return local.includes(hostname) || hostname.startsWith("127.");
}
