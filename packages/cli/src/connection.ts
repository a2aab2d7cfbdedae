/**
 * Where the server is, and the key for it: flags, then the environment, then the file that a local
 * server wrote. The file's key is only ever sent to the file's own server.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "./usage-error.ts";

export interface Found {
  readonly value: string;
  /** Where it comes from, for people. */
  readonly source: string;
}

export interface Connection {
  readonly endpoint: Found;
  /** Without one, only what is public can be reached. */
  readonly credential: Found | undefined;
  /** Where the file of a local server was looked for. */
  readonly file: { readonly path: string; readonly state: string };
}

export interface Surroundings {
  readonly flags: { readonly endpoint?: string; readonly key?: string };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

const defaultEndpoint = "http://127.0.0.1:8420";

/** Looks in all places. Throws a `UsageError` when what is found cannot be used. */
export async function findConnection({ flags, env, cwd }: Surroundings): Promise<Connection> {
  const path = join(cwd, env.ROMA_DATA ?? "roma-data", "root-key.json");
  const file = await readKeyFile(path);
  const endpoint =
    found(flags.endpoint, "--endpoint") ??
    found(env.ROMA_ENDPOINT, "ROMA_ENDPOINT") ??
    found(file.endpoint, path) ??
    ({ value: defaultEndpoint, source: "default" } as const);
  const origin = originOf(endpoint.value);
  if (origin === undefined) {
    const wrong = `${endpoint.source}: ${endpoint.value}`;
    throw new UsageError(`${wrong} is not an http address; write http://HOST:PORT`);
  }
  const fileFits = originOf(file.endpoint ?? defaultEndpoint) === origin;
  const credential =
    found(flags.key, "--key") ??
    found(env.ROMA_KEY, "ROMA_KEY") ??
    (fileFits ? found(file.credential, path) : undefined);
  if (credential !== undefined && !/^[^\s.:]+[.:]\S+$/.test(credential.value)) {
    throw new UsageError(`${credential.source} must be ID.SECRET or ID:SECRET`);
  }
  const unused = file.credential !== undefined && !fileFits ? " (for another server)" : "";
  return { endpoint, credential, file: { path, state: file.state + unused } };
}

interface KeyFile {
  readonly endpoint?: string;
  readonly credential?: string;
  readonly state: string;
}

async function readKeyFile(path: string): Promise<KeyFile> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    return { state: code === "ENOENT" ? "not there" : `not readable: ${code}` };
  }
  const { id, secret, endpoint } = parseFields(text);
  if (typeof id !== "string" || typeof secret !== "string") return { state: "not a key file" };
  return {
    credential: `${id}.${secret}`,
    ...(typeof endpoint === "string" ? { endpoint } : {}),
    state: "read",
  };
}

function parseFields(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function found(value: string | undefined, source: string): Found | undefined {
  return value === undefined || value === "" ? undefined : { value, source };
}

function originOf(endpoint: string): string | undefined {
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  // Three names of this machine.
  const loopback = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  return `${url.protocol}//${loopback ? "loopback" : url.hostname}:${url.port}`;
}
