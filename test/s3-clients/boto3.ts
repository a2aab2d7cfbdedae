/** boto3, without and with the library of AWS that makes its signatures and more checksums. */
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { requirePrerequisite } from "../prerequisites.ts";
import { awkwardKey, type S3ClientTests, type Target } from "./client.ts";
import { start } from "./programs.ts";

const folder = join(import.meta.dirname, "python");
const script = join(folder, "boto3_cases.py");

/** Where `environment.sh build` put the Python clients. */
export function pythonEnvironment(): string {
  return execFileSync(join(folder, "environment.sh"), ["path"], { encoding: "utf8" }).trim();
}

export const boto3: S3ClientTests = {
  name: "boto3",
  run: async (t, open) => {
    if (!requirePrerequisite(t, "python-clients")) return;
    await runCases(t, await open(), { crt: false });
  },
};

export const boto3Crt: S3ClientTests = {
  name: "boto3-crt",
  run: async (t, open) => {
    if (!requirePrerequisite(t, "python-clients")) return;
    await runCases(t, await open(), { crt: true });
  },
};

async function runCases(
  t: TestContext,
  target: Target,
  { crt }: { readonly crt: boolean },
): Promise<void> {
  const python = pythonEnvironment();
  const given = {
    ...target,
    ...{ crt, awkwardKey, small: target.small.path, large: target.large.path },
  };
  const { status, stdout, stderr } = await start(
    join(python, "bin/python"),
    ["-B", "-W", "error::DeprecationWarning:__main__", script, JSON.stringify(given)],
    {
      folder: target.folder,
      environment: crt ? { PYTHONPATH: join(python, "crt") } : {},
    },
  );
  const lines = stdout.toString().split("\n").filter(Boolean);
  const results = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const { name, error } of results) {
    if (typeof name !== "string") continue;
    await t.test(name, () => {
      if (error !== undefined) assert.fail(String(error));
    });
  }
  assert.equal(status, 0, stderr);
  assert.deepEqual(results.at(-1), { ran: results.length - 1 }, stderr);
}
