/**
 * Disks of the soak that fill up for a while: the server's data and a storage's, each a small file system
 * of its own. While one is full nothing is taken, reads and deletes go on; freed, it is back by itself.
 */
import { execFileSync } from "node:child_process";
import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Answer, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import type { Random } from "../harness/random.ts";
import { wait } from "./wire.ts";

const MiB = 1024 * 1024;
const msMax = 60_000;

export interface SoakDisks extends AsyncDisposable {
  /** The server's data. */
  readonly data: string;
  /** Of the storage `tight`. */
  readonly tight: string;
}

/** Two small file systems in memory below the folder; throws where nothing can be mounted. */
export async function mountDisks(folder: string, dataBytes: number): Promise<SoakDisks> {
  await using stack = new AsyncDisposableStack();
  const mount = async (name: string, options: string): Promise<string> => {
    const at = join(folder, name);
    await mkdir(at, { recursive: true });
    const all = `mode=0750,${options}`;
    execFileSync("mount", ["-t", "tmpfs", "-o", all, "roma-soak", at], { stdio: "pipe" });
    stack.defer(() => void execFileSync("umount", ["--lazy", at]));
    return at;
  };
  const data = await mount("data", `size=${dataBytes},nr_inodes=100000`);
  const tight = await mount("tight", `size=${64 * MiB},nr_inodes=2500`);
  const owned = stack.move();
  return { data, tight, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface FillOptions {
  readonly server: { readonly url: string };
  readonly random: Random;
  readonly violate: (what: string) => void;
  readonly count: (what: string) => void;
  /** How long a disk stays full once that was seen, at most. */
  readonly faultMsMax: number;
}

export interface Filling {
  readonly folder: string;
  /** One whose bytes go there. */
  readonly bucket: string;
  readonly by: "bytes" | "inodes";
}

type Asked = [method: string, key: string, body?: Uint8Array];

export async function fillDisk(it: FillOptions, { folder, bucket, by }: Filling): Promise<void> {
  const { server, random, violate, count } = it;
  const kept = Buffer.alloc(64 * 1024, `${random.next()} `);
  const until = async (what: string, isSo: (answer: Answer) => boolean, ...asked: Asked) => {
    const [method, key, body] = asked;
    const options = body === undefined ? {} : { body };
    let last: Answer | undefined;
    await eventually(
      `${what}, with a disk full by ${by}`,
      async () => {
        const at = `/v1/objects/${bucket}/${key}`;
        last = await send(server, method, at, options).catch(() => undefined);
        return last !== undefined && isSo(last);
      },
      msMax,
    ).catch((error: Error) => violate(`${error.message}: ${last?.status} ${last?.body}`));
  };
  const isDone = ({ status }: Answer): boolean => status < 300;
  const isWhole = ({ status, body }: Answer): boolean => status === 200 && body.equals(kept);
  const isGone = ({ status }: Answer): boolean => status === 204 || status === 404;
  const isRefused = ({ status, headers }: Answer): boolean =>
    status === 507 && Number(headers["retry-after"]) > 0;
  await until("PUT works before", isDone, "PUT", "kept", kept);
  await until("PUT works before", isDone, "PUT", "gone", kept);
  const free = await (by === "bytes" ? fillBytes(folder, random) : fillInodes(folder));
  try {
    await until("PUT is refused", isRefused, "PUT", "new", kept);
    count(`disk full by ${by}: 507`);
    await until("GET goes on", isWhole, "GET", "kept");
    await until("DELETE goes on", isGone, "DELETE", "gone");
    await wait(random.below(it.faultMsMax));
  } finally {
    await free();
  }
  await until("PUT works again", isDone, "PUT", "new", kept);
}

/** Up to its last byte, or almost: then what has begun finds no room before anybody has looked. */
async function fillBytes(folder: string, random: Random): Promise<() => Promise<void>> {
  const filler = join(folder, ".filler");
  const left = random.pick([0, 0, MiB, 2 * MiB]);
  const chunk = Buffer.alloc(16 * MiB);
  try {
    for (;;) {
      const { bavail, bsize } = await statfs(folder);
      const length = Math.min(chunk.length, bavail * bsize - left);
      if (length <= 0) break;
      await writeFile(filler, chunk.subarray(0, length), { flag: "a" });
    }
  } catch (error) {
    if (!isFull(error)) throw error;
  }
  return () => rm(filler, { force: true });
}

async function fillInodes(folder: string): Promise<() => Promise<void>> {
  const fillers = join(folder, ".fillers");
  try {
    await mkdir(fillers);
    for (let index = 0; ; index += 1) await writeFile(join(fillers, `${index}`), "");
  } catch (error) {
    if (!isFull(error)) throw error;
  }
  return () => rm(fillers, { recursive: true, force: true });
}

function isFull(error: unknown): boolean {
  return error instanceof Error && Reflect.get(error, "code") === "ENOSPC";
}
