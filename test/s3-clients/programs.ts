/** Clients that are programs: run as on a machine of their own, without other people's settings. */
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

export interface ProgramOptions {
  /** The program's home and working folder. */
  readonly folder: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** A file that is its standard input. */
  readonly input?: string;
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Ends with the program, whatever its status. */
export async function start(
  program: string,
  args: readonly string[],
  { folder, environment = {}, input }: ProgramOptions,
): Promise<Ended> {
  const home = join(folder, "home");
  await mkdir(home, { recursive: true });
  const env = { PATH: process.env.PATH ?? "", HOME: home, LANG: "C.UTF-8", ...environment };
  const child = spawn(program, args, { cwd: folder, env, stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject).once("close", resolve);
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on("error", () => {});
  if (input === undefined) child.stdin.end();
  else createReadStream(input).pipe(child.stdin);
  const status = await ended;
  return { status, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}

/** What it printed; it must succeed, and where `isSilent` say nothing beside that, no warning either. */
export async function run(
  program: string,
  args: readonly string[],
  options: ProgramOptions & { readonly isSilent?: boolean },
): Promise<Buffer> {
  const { status, stdout, stderr } = await start(program, args, options);
  const said = `${program} ${args.join(" ")}\n${stdout.subarray(0, 2000)}\n${stderr}`;
  assert.equal(status, 0, said);
  if (options.isSilent === true) assert.equal(stderr, "", said);
  return stdout;
}

/** It must fail, and say why. */
export async function refused(
  program: string,
  args: readonly string[],
  options: ProgramOptions & { readonly says: RegExp },
): Promise<void> {
  const { status, stdout, stderr } = await start(program, args, options);
  assert.notEqual(status, 0, `${program} ${args.join(" ")} must fail\n${stdout}\n${stderr}`);
  assert.match(`${stdout}\n${stderr}`, options.says, `${program} ${args.join(" ")}`);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
