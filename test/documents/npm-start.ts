/** A server as a reader starts it: `npm start`, with a folder and ports of the test's own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";

const root = resolve(import.meta.dirname, "../..");

export interface Started {
  readonly url: string;
  /** Of the key that it made and printed. */
  readonly id: string;
  readonly secret: string;
  /** The line that it says works when pasted. */
  readonly curl: string;
}

/** Resolves when it listens; ended after the test. */
export async function npmStart(t: TestContext): Promise<Started> {
  const data = join(await temporaryFolder(t), "roma-data");
  const flags = ["--data", data, "--port", "0", "--ops-port", "0"];
  const child = spawn("npm", ["start", "--", ...flags], {
    cwd: root,
    // npm's child is in its group, whether npm passes signals on or not.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "close");
  cleanUp(t, async () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGTERM");
    await exited;
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  for await (const line of createInterface({ input: child.stdout })) {
    said += `${line}\n`;
    const [, url] = /^roma listening on (\S+)$/.exec(line) ?? [];
    if (url === undefined) continue;
    child.stdout.resume();
    const [, id = ""] = /^access key +(\S+)$/m.exec(said) ?? [];
    const [, secret = ""] = /^secret +(\S+)$/m.exec(said) ?? [];
    const [, curl = ""] = /^ +(curl .*)$/m.exec(said) ?? [];
    assert.ok(id !== "" && secret !== "" && curl !== "", said);
    return { url, id, secret, curl };
  }
  throw new Error(`it did not listen\n${said}`);
}
