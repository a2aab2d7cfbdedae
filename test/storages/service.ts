// A real service of test/services for the tests of one file: up before them, wiped after them. It
// never outlives the process: a keeper beside it wipes the service when its pipe from here closes,
// whatever ended the tests.

import { strict as assert } from "node:assert";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before } from "node:test";
import { promisify } from "node:util";

const execute = promisify(execFile);
const services = resolve(import.meta.dirname, "../services");

export interface Service {
  /** A line of what the script's `env` prints. */
  readonly value: (name: string) => string;
}

/** To be called where tests are defined, not within one; values are there from the first test on. */
export function useService(
  name: "ceph" | "moosefs" | "minio" | "loop" | "postgres" | "nginx" | "prometheus" | "smtp",
  settings: Readonly<Record<string, string>> = {},
): Service {
  const script = join(services, `${name}.sh`);
  const values = new Map<string, string>();
  let keeper: ChildProcess | undefined;

  before(
    async () => {
      const folder = mkdtempSync(join(tmpdir(), `roma-${name}-`));
      const environment = { ...process.env, ...settings, SERVICES_DIR: folder };
      const wipe = 'read -r _; "$0" wipe && rm -rf "$1"';
      keeper = spawn("bash", ["-c", wipe, script, folder], {
        env: environment,
        stdio: ["pipe", "ignore", "inherit"],
        detached: true,
      });
      keeper.unref();
      const env = await up(script, environment);
      const { stdout } = await execute(script, ["env"], { env });
      for (const line of stdout.split("\n")) {
        const at = line.indexOf("=");
        if (at > 0) values.set(line.slice(0, at), line.slice(at + 1));
      }
    },
    { timeout: 400_000 },
  );

  after(
    async () => {
      if (keeper === undefined) return;
      keeper.ref();
      const ended = once(keeper, "exit");
      keeper.stdin?.end();
      assert.deepEqual(await ended, [0, null], `${name} could not be wiped`);
    },
    { timeout: 300_000 },
  );

  return {
    value(key) {
      const value = values.get(key);
      assert.ok(value !== undefined, `${name}.sh env prints no ${key}`);
      return value;
    },
  };
}

/** Tries other ports where somebody has them; answers the environment that it is up with. */
async function up(script: string, environment: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
  for (let attempt = 1; ; attempt += 1) {
    const env = { ...environment, SERVICES_PORT_OFFSET: String(await ownOffset()) };
    try {
      await execute(script, ["up"], { env });
      return env;
    } catch (error) {
      const output = error instanceof Error && "stderr" in error ? String(error.stderr) : "";
      if (attempt < 5 && /is taken|already in use/i.test(output)) continue;
      throw new Error(`${script} up: ${output}`, { cause: error });
    }
  }
}

/**
 * Of a hundred ports that no other test's service has, until this process ends: some of them are looked at long
 * before they are listened on. They lie below the range that the kernel picks from for whoever names no port.
 */
async function ownOffset(): Promise<number> {
  for (;;) {
    const offset = 100 * randomInt(110);
    // The last of them: no service listens there.
    if (await isReserved(20_099 + offset)) return offset;
  }
}

/** False where another process has the port. */
function isReserved(port: number): Promise<boolean> {
  const server = createServer().unref();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(true));
  });
}
