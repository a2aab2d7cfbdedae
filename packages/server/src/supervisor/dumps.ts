/**
 * What is in this process, written down on demand: for whoever looks for a leak at night. Into a folder of
 * its own, for its owner alone and bounded; asked for by SIGUSR2, or over a socket in that folder. The folder's mode
 * is the permission: who may open it may read the memory of the server anyway. Not a route of the
 * server's, for it must work when that takes no requests, and must not be reached from the network.
 */
import { chmod, mkdir, readdir, rm, stat, statfs, writeFile } from "node:fs/promises";
import { Session } from "node:inspector/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { writeHeapSnapshot } from "node:v8";
import type { Log } from "../core/ports/log.ts";
import type { DebugConfig } from "./config.ts";
import { isRecord } from "./messages.ts";

export const dumpKinds = ["heap-snapshot", "allocation-profile", "report"] as const;
export type DumpKind = (typeof dumpKinds)[number];

const extensions: Readonly<Record<DumpKind, string>> = {
  "heap-snapshot": "heapsnapshot",
  "allocation-profile": "heapprofile",
  report: "json",
};

/** sun_path has 108 bytes, the last of them 0. */
const socketPathBytesMax = 107;
const requestBytesMax = 1_024;
const secondsMax = 120;
/** V8 walks the heap and copies its graph: about so many times what is used. */
const snapshotFactor = 2;

export interface DumpOptions {
  readonly folder: string;
  readonly limits: Pick<DebugConfig, "filesMax" | "bytesMax" | "freeBytesMin">;
  readonly slot: number;
  readonly log: Log;
  /** Before the event loop stands still. */
  readonly announceSilence: (ms: number) => void;
}

export class Dumps implements AsyncDisposable {
  readonly #options: DumpOptions;
  #server: Server | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: DumpOptions) {
    this.#options = options;
  }

  /** Listens in the folder. Where that cannot be, the log says so, and SIGUSR2 is left. */
  async listen(): Promise<void> {
    const { folder, log } = this.#options;
    const path = join(folder, `${process.pid}.sock`);
    try {
      await this.#prepare();
      if (Buffer.byteLength(path) > socketPathBytesMax) {
        throw new Error(`the path of a socket has at most ${socketPathBytesMax} bytes`);
      }
      // Of an earlier process with this id, as in each start of a container.
      await rm(path, { force: true });
      const server = createServer((socket) => this.#serve(socket));
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once("error", reject).listen(path, resolve);
      await promise;
      server.on("error", () => {}).unref();
      this.#server = server;
    } catch (error) {
      log.warn({ folder, err: error }, "roma debug cannot reach this process; SIGUSR2 can");
    }
  }

  /** Resolves with the file's path. One at a time; refuses where the disk or the memory has no room. */
  write(kind: DumpKind, { seconds = 10 }: { readonly seconds?: number } = {}): Promise<string> {
    const written = this.#running.then(() => this.#write(kind, seconds));
    this.#running = written.catch(() => {});
    return written;
  }

  /** For whoever does not wait for it: the log says how it went. */
  onAsked(dump: string): void {
    const kind = dumpKinds.find((one) => one === dump);
    if (kind === undefined) return;
    this.write(kind).catch((error: unknown) => {
      this.#options.log.error({ err: error }, `${kind} was not written`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Its file goes with it.
    this.#server?.close();
  }

  async #write(kind: DumpKind, seconds: number): Promise<string> {
    const { folder, slot, log } = this.#options;
    await this.#prepare();
    await this.#assertRoom(kind);
    const at = new Date().toISOString().replaceAll(/[-:]/g, "").replace(/\.\d+/, "");
    const path = join(folder, `${at}-worker-${slot}-${process.pid}-${kind}.${extensions[kind]}`);
    const began = performance.now();
    if (kind === "heap-snapshot") this.#heapSnapshot(path);
    else if (kind === "report") await writeReport(path);
    else await allocationProfile(path, seconds);
    await chmod(path, 0o600);
    await this.#prune(path);
    log.info({ path, ms: Math.round(performance.now() - began) }, `${kind} written`);
    return path;
  }

  #heapSnapshot(path: string): void {
    // Minutes for gigabytes; nobody shall take this for a worker that hangs.
    this.#options.announceSilence(10 * 60_000);
    try {
      writeHeapSnapshot(path);
    } finally {
      this.#options.announceSilence(0);
    }
  }

  async #prepare(): Promise<void> {
    const { folder } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // It may have been there before, open to others.
    await chmod(folder, 0o700);
  }

  async #assertRoom(kind: DumpKind): Promise<void> {
    const { folder, limits } = this.#options;
    const { heapUsed } = process.memoryUsage();
    const wanted = kind === "heap-snapshot" ? snapshotFactor * heapUsed : 16 * 2 ** 20;
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize < limits.freeBytesMin + wanted) {
      throw new Error(
        `${folder} has ${inMebibytes(bavail * bsize)} free; debug.freeBytesMin keeps ` +
          `${inMebibytes(limits.freeBytesMin)}, and ${inMebibytes(wanted)} may be written`,
      );
    }
    if (wanted > limits.bytesMax) {
      throw new Error(`up to ${inMebibytes(wanted)} may be written, more than debug.bytesMax`);
    }
    const available = process.availableMemory();
    if (kind === "heap-snapshot" && available < wanted) {
      throw new Error(
        `a snapshot of a heap of ${inMebibytes(heapUsed)} takes ${inMebibytes(wanted)} of memory, and ` +
          `${inMebibytes(available)} are available: the kernel would kill this process`,
      );
    }
  }

  /** The oldest go until the limits hold again. The newest stays. */
  async #prune(newest: string): Promise<void> {
    const { folder, limits } = this.#options;
    const files: { path: string; bytes: number; at: number }[] = [];
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      const found = await stat(path).catch(() => undefined);
      // Sockets are of processes that live.
      if (found?.isFile() === true) files.push({ path, bytes: found.size, at: found.mtimeMs });
    }
    files.sort((one, other) => other.at - one.at);
    let bytes = 0;
    for (const [index, file] of files.entries()) {
      bytes += file.bytes;
      const fits = index < limits.filesMax && bytes <= limits.bytesMax;
      if (!fits && file.path !== newest) await rm(file.path, { force: true });
    }
  }

  #serve(socket: Socket): void {
    let text = "";
    socket.on("error", () => {});
    socket.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (text.length > requestBytesMax) socket.destroy();
      else if (text.endsWith("\n")) void this.#answer(text, socket);
    });
  }

  async #answer(text: string, socket: Socket): Promise<void> {
    const answer = await this.#act(text).catch((error: Error) => ({ error: error.message }));
    socket.end(`${JSON.stringify(answer)}\n`);
  }

  async #act(text: string): Promise<object> {
    const request: unknown = JSON.parse(text);
    const { dump, seconds } = isRecord(request) ? request : {};
    if (dump === undefined) {
      const { rss, heapUsed } = process.memoryUsage();
      return { worker: this.#options.slot, pid: process.pid, rssBytes: rss, heapBytes: heapUsed };
    }
    const kind = dumpKinds.find((one) => one === dump);
    if (kind === undefined) throw new Error(`there is no dump ${String(dump)}`);
    const bounded = typeof seconds === "number" ? Math.min(secondsMax, Math.max(1, seconds)) : 10;
    return { path: await this.write(kind, { seconds: bounded }) };
  }
}

/** Variables and flags hold secrets; `excludeEnv` of Node's does not reach the reports of threads. */
const secretSections: ReadonlySet<string> = new Set(["environmentVariables", "commandLine"]);

async function writeReport(path: string): Promise<void> {
  process.report.excludeEnv = true;
  const report = JSON.stringify(
    process.report.getReport(),
    (name, value) => (secretSections.has(name) ? undefined : value),
    2,
  );
  await writeFile(path, report, { mode: 0o600 });
}

async function allocationProfile(path: string, seconds: number): Promise<void> {
  const session = new Session();
  session.connect();
  try {
    await session.post("HeapProfiler.startSampling");
    await delay(seconds * 1000);
    const { profile } = await session.post("HeapProfiler.stopSampling");
    await writeFile(path, JSON.stringify(profile), { mode: 0o600 });
  } finally {
    session.disconnect();
  }
}

function inMebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
