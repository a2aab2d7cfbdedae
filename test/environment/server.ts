/** Servers in this process whose data, configuration and storages say which environment they are of. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Log } from "../../packages/server/src/core/ports/log.ts";
import { type RunningServer, startServer } from "../../packages/server/src/server.ts";
import {
  parseServerConfig,
  type ServerConfigInput,
} from "../../packages/server/src/server-config.ts";
import { listFiles } from "../harness/data-folder.ts";

export const rootKey = { id: "ROOTKEY", secret: "correct-horse-battery" };
export const asRoot = { authorization: `Bearer ${rootKey.id}.${rootKey.secret}` };

export interface Lines {
  readonly log: Log;
  readonly errors: string[];
}

/** Keeps what was said as an error. */
export function listening(): Lines {
  const errors: string[] = [];
  const quiet = (): void => {};
  const error = (_fields: object, message: string): void => void errors.push(message);
  return { errors, log: { debug: quiet, info: quiet, warn: quiet, error } };
}

export async function start(
  data: string,
  { log, ...options }: Partial<ServerConfigInput> & { readonly log: Log },
): Promise<RunningServer> {
  const config = parseServerConfig({
    ...{ data, port: 0, opsPort: 0, drain: "100 ms", blobGrace: "0 ms" },
    rootKey: `${rootKey.id}:${rootKey.secret}`,
    sweeper: { interval: "100 ms", age: "0 ms" },
    uploads: { tidyInterval: "100 ms" },
    ...options,
  });
  return await startServer(config, { log });
}

export interface Answered {
  readonly status: number;
  readonly environment: string | null;
  readonly text: string;
  /** Of a problem document, else empty. */
  readonly code: string;
}

export async function call(
  { url }: RunningServer,
  method: string,
  target: string,
  init: RequestInit = {},
): Promise<Answered> {
  const given = { ...asRoot, ...(init.headers as Record<string, string>) };
  // An empty one is none.
  const headers = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ""));
  const answer = await fetch(new URL(target, url), { ...init, method, headers });
  const text = await answer.text();
  const code = /"code":"(\w+)"/.exec(text)?.[1] ?? /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? "";
  return { status: answer.status, environment: answer.headers.get("roma-environment"), text, code };
}

export async function readiness({ opsUrl }: RunningServer) {
  const answer = await fetch(`${opsUrl}/readyz`);
  const { ready, checks } = (await answer.json()) as {
    readonly ready: boolean;
    readonly checks: readonly {
      readonly name: string;
      readonly ok: boolean;
      readonly reason?: string;
    }[];
  };
  const environment = checks.find(({ name }) => name === "environment");
  assert.ok(environment);
  return { status: answer.status, ready, environment };
}

/** All that the folder holds: every file, and every row; but for where the server listens. */
export async function contentOf(data: string): Promise<Readonly<Record<string, string>>> {
  const content: Record<string, string> = {};
  for (const file of await listFiles(data)) {
    if (file === "root-key.json") continue;
    const bytes = await readFile(join(data, file));
    content[file] = createHash("sha256").update(bytes).digest("hex");
  }
  const database = new DatabaseSync(join(data, "metadata.sqlite"), { readOnly: true });
  try {
    const tables = database
      .prepare("select name from sqlite_schema where type = 'table' order by name")
      .all();
    for (const { name } of tables) {
      const rows = database.prepare(`select * from "${String(name)}"`).all();
      content[`table ${String(name)}`] = JSON.stringify(rows, (_key, value: unknown) =>
        value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value,
      );
    }
  } finally {
    database.close();
  }
  return content;
}

/** What the mark of the storage in this folder says. */
export async function labelOf(root: string): Promise<unknown> {
  const mark: unknown = JSON.parse(await readFile(join(root, ".roma", "storage.json"), "utf8"));
  assert.ok(typeof mark === "object" && mark !== null);
  return Reflect.get(mark, "environment");
}
