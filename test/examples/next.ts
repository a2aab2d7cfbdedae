/** examples/next in a project of Next.js, with the packages as they are published: built and started. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { temporaryFolder } from "../harness/server-process.ts";

const root = resolve(import.meta.dirname, "../..");
const environment = join(import.meta.dirname, "next/environment.sh");

/** What `create-next-app` puts beside the page. */
const layout = `export default function Layout({ children }) {
  return <html lang="en"><body>{children}</body></html>;
}`;

/** Answers its address; ended after the test. `variables` are those of its backend. */
export async function startNext(
  t: TestContext,
  variables: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = await createProject(t);
  const next = join(folder, "node_modules/next/dist/bin/next");
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", ...variables };
  execFileSync(process.execPath, [next, "build"], { cwd: folder, env, stdio: "pipe" });
  const child = spawn(process.execPath, [next, "start", "--port", "0"], {
    ...{ cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] },
  });
  const exited = once(child, "exit");
  cleanUp(t, async () => {
    child.kill();
    await exited;
  });
  let said = "";
  let url: string | undefined;
  for await (const line of createInterface(child.stdout)) {
    said += `${line}\n`;
    url ??= /Local: +(\S+)/.exec(line)?.[1];
    if (!/Ready in/.test(line) || url === undefined) continue;
    child.stdout.resume();
    return url;
  }
  throw new Error(`Next.js ended before it listened\n${said}`);
}

/** The example's files, and everything that it imports, in one folder: the bundler follows no links out of it. */
async function createProject(t: TestContext): Promise<string> {
  const folder = await temporaryFolder(t);
  const installed = execFileSync(environment, ["path"], { encoding: "utf8" }).trim();
  // By hard links where it is one file system: nobody writes to them.
  const copy = 'cp -al "$1" "$2" 2>/dev/null || cp -a "$1" "$2"';
  execFileSync("sh", ["-c", copy, "sh", join(installed, "node_modules"), folder]);
  const built = await temporaryFolder(t);
  const build = [join(root, "scripts/build.ts"), "--out", built];
  execFileSync(process.execPath, build, { stdio: "pipe" });
  const scope = join(folder, "node_modules/@roma");
  await mkdir(scope);
  for (const name of ["sdk", "contract"]) {
    await cp(join(built, name), join(scope, name), { recursive: true });
  }
  await cp(join(root, "examples/next/app"), join(folder, "app"), { recursive: true });
  await writeFile(join(folder, "app/layout.jsx"), layout);
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  return folder;
}
