// Which servers are compared, and how are they started? Roma as `roma serve` with its defaults, nginx
// with its dav module, @tus/server with its file store, and MinIO over one folder: all on loopback and on
// one file system, each in a folder of its own.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Connection } from "./client/connection.ts";
import { head } from "./client/head.ts";
import type { Signing, Target } from "./client/tasks.ts";
import { childrenOf } from "./process-figures.ts";

export type PeerName = "nginx" | "@tus/server" | "MinIO";

export interface Subject extends AsyncDisposable {
  readonly name: "Roma" | PeerName;
  readonly target: Target;
  /** Where it keeps what it stores. */
  readonly folder: string;
  /** All processes that do the work. */
  readonly pids: readonly number[];
  /** The path of a request for the object; throws where only tus is spoken. */
  pathOf(key: string): string;
  /** Where tus uploads are made; absent where tus is not spoken. */
  readonly tusPath?: string;
  /** Absent where S3 is not spoken. */
  readonly s3?: S3Front;
}

/** Where S3 is spoken, with a bucket that is there. */
export interface S3Front {
  readonly target: Target & { readonly signing: Signing };
  /** Path of the endpoint: empty, or `/s3`. */
  readonly basePath: string;
  readonly bucket: string;
}

export interface StartOptions {
  /** Made if it is missing; what is in it stays. */
  readonly folder: string;
  /** What the command is given to, such as `taskset -c 0`; empty for none. */
  readonly prefix: readonly string[];
  /** Cores that the server may use. */
  readonly cores: number;
}

const host = "127.0.0.1";
const root = resolve(import.meta.dirname, "..");

/** `profileFolder`: every thread writes its CPU profile there when the server has stopped. */
export async function startRoma(
  options: StartOptions & { readonly profileFolder?: string | undefined },
): Promise<Subject> {
  const { folder, prefix, profileFolder } = options;
  mkdirSync(folder, { recursive: true });
  const secret = randomBytes(24).toString("hex");
  const profiling =
    profileFolder === undefined
      ? []
      : ["--cpu-prof", "--cpu-prof-interval=500", `--cpu-prof-dir=${profileFolder}`];
  const child = start(
    [
      ...prefix,
      process.execPath,
      // As the first line of the command's own program has it.
      "--max-semi-space-size=8",
      ...profiling,
      join(root, "packages/cli/src/main.ts"),
      "serve",
      // One process, so that its memory and time are the whole.
      ...["--workers", "0", "--data", folder, "--port", "0", "--ops-port", "0"],
    ],
    { ...process.env, ROMA_ROOT_KEY: `bench:${secret}` },
  );
  const port = await portSaid(child, /^roma listening on http:\/\/[^:]+:(\d+)$/m);
  return {
    name: "Roma",
    target: { host, port, headers: `Authorization: Bearer bench.${secret}\r\n` },
    folder,
    pids: [pidOf(child)],
    pathOf: (key) => `/v1/objects/demo/${key}`,
    tusPath: "/tus/demo",
    s3: {
      target: {
        ...{ host, port, headers: "" },
        signing: { accessKeyId: "bench", secretAccessKey: secret, region: "us-east-1" },
      },
      ...{ basePath: "/s3", bucket: "demo" },
    },
    [Symbol.asyncDispose]: () => stop(child, "SIGTERM"),
  };
}

export async function startNginx(options: StartOptions): Promise<Subject> {
  const { folder, prefix, cores } = options;
  const port = await freePort();
  mkdirSync(join(folder, "root"), { recursive: true });
  const configPath = join(folder, "nginx.conf");
  writeFileSync(configPath, nginxConfig({ folder, port, workers: cores }));
  const child = start([...prefix, "nginx", "-p", folder, "-e", "stderr", "-c", configPath]);
  await accepts(child, port);
  const pid = pidOf(child);
  return {
    name: "nginx",
    target: { host, port, headers: "" },
    folder,
    pids: [pid, ...childrenOf(pid)],
    pathOf: (key) => `/${key}`,
    [Symbol.asyncDispose]: () => stop(child, "SIGQUIT"),
  };
}

/** With the store's and the server's own defaults; what it stores is `folder`. */
export async function startTusServer(options: StartOptions): Promise<Subject> {
  const { folder, prefix } = options;
  mkdirSync(folder, { recursive: true });
  const program = join(import.meta.dirname, "tus-server.ts");
  const child = start([...prefix, process.execPath, program, folder]);
  const port = await portSaid(child, /^listening on http:\/\/[^:]+:(\d+)$/m);
  return {
    name: "@tus/server",
    target: { host, port, headers: "" },
    folder,
    pids: [pidOf(child)],
    pathOf: () => {
      throw new Error("@tus/server speaks tus alone");
    },
    tusPath: "/files",
    [Symbol.asyncDispose]: () => stop(child, "SIGTERM"),
  };
}

/** Over one folder, with its own defaults, as `test/services/minio.sh build` makes it. */
export async function startMinio(options: StartOptions): Promise<Subject> {
  const { folder, prefix } = options;
  const data = join(folder, "data");
  mkdirSync(data, { recursive: true });
  const port = await freePort();
  const secret = randomBytes(16).toString("hex");
  const child = start(
    [
      ...[...prefix, minioBinary(), "server", "--quiet", "--address", `${host}:${port}`],
      ...["--config-dir", join(folder, "config"), data],
    ],
    {
      ...process.env,
      ...{ MINIO_ROOT_USER: "bench", MINIO_ROOT_PASSWORD: secret },
      ...{ MINIO_BROWSER: "off", MINIO_UPDATE: "off" },
    },
  );
  await accepts(child, port);
  const signing = { accessKeyId: "bench", secretAccessKey: secret, region: "us-east-1" };
  const target = { host, port, headers: "", signing };
  await makeBucket(target, "demo");
  return {
    name: "MinIO",
    ...{ target, folder, pids: [pidOf(child)] },
    pathOf: (key) => `/demo/${key}`,
    s3: { target, basePath: "", bucket: "demo" },
    [Symbol.asyncDispose]: () => stop(child, "SIGTERM"),
  };
}

function minioBinary(): string {
  const script = join(root, "test/services/minio.sh");
  return execFileSync(script, ["path"], { encoding: "utf8" }).trim();
}

/** MinIO says 503 until it is ready. */
async function makeBucket(target: Target, bucket: string): Promise<void> {
  let why: unknown;
  for (let attempt = 0; attempt < 100; attempt += 1) {
    using connection = await Connection.open(target, { readBytes: 64 * 1024 });
    const request = head("PUT", `/${bucket}`, target, "Content-Length: 0\r\n");
    try {
      await connection.send({ head: request });
      return;
    } catch (error) {
      why = error;
      await pause(50);
    }
  }
  throw new Error("MinIO makes no bucket", { cause: why });
}

export function s3Of({ name, s3 }: Subject): S3Front {
  if (s3 === undefined) throw new Error(`${name} does not speak S3`);
  return s3;
}

/** The path of a request for the object, or for the bucket. */
export function s3Path({ basePath, bucket }: S3Front, key?: string): string {
  return key === undefined ? `${basePath}/${bucket}` : `${basePath}/${bucket}/${key}`;
}

export async function deleteObject(s3: S3Front, key: string): Promise<void> {
  using connection = await Connection.open(s3.target, { readBytes: 64 * 1024 });
  await connection.send({ head: head("DELETE", s3Path(s3, key), s3.target) });
}

export function tusPathOf({ name, tusPath }: Subject): string {
  if (tusPath === undefined) throw new Error(`${name} does not speak tus`);
  return tusPath;
}

/** The server that keeps nothing. */
export async function startSink(prefix: readonly string[]): Promise<Target & AsyncDisposable> {
  const child = start([...prefix, process.execPath, join(import.meta.dirname, "sink.ts")]);
  const port = await portSaid(child, /^listening on http:\/\/[^:]+:(\d+)$/m);
  return { host, port, headers: "", [Symbol.asyncDispose]: () => stop(child, "SIGTERM") };
}

function nginxConfig(to: {
  readonly folder: string;
  readonly port: number;
  readonly workers: number;
}): string {
  const isRoot = process.getuid?.() === 0;
  const temporary = (name: string) => `${name}_temp_path ${join(to.folder, name)};`;
  return `
worker_processes ${to.workers};
daemon off;
${isRoot ? "user root;" : ""}
pid ${join(to.folder, "nginx.pid")};
events { worker_connections 4096; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  keepalive_timeout 65s;
  client_max_body_size 0;
  # Beside the target on one file system: the body's file is renamed, not copied.
  ${temporary("client_body")}
  ${temporary("proxy")} ${temporary("fastcgi")} ${temporary("uwsgi")} ${temporary("scgi")}
  server {
    listen ${host}:${to.port} backlog=511;
    root ${join(to.folder, "root")};
    location / {
      dav_methods PUT;
      create_full_put_path on;
      dav_access user:rw;
    }
  }
}
`;
}

export function start(
  command: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): ChildProcess {
  const [file = "", ...args] = command;
  // taskset replaces itself by what it starts, so the child's pid is the server's.
  return spawn(file, args, { stdio: ["ignore", "pipe", "inherit"], env });
}

export function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error("the server did not start");
  return child.pid;
}

export async function portSaid(child: ChildProcess, line: RegExp): Promise<number> {
  const { promise, resolve: found, reject } = Promise.withResolvers<number>();
  let output = "";
  child.once("error", reject);
  child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${output}`)));
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    if (output.length < 64 * 1024) output += text;
    const port = line.exec(output)?.[1];
    if (port !== undefined) found(Number(port));
  });
  return await promise;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve: listening, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen(0, host, listening);
  await promise;
  const address = server.address();
  await server[Symbol.asyncDispose]();
  if (typeof address !== "object" || address === null) throw new Error("no free port");
  return address.port;
}

async function accepts(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`the server ended with code ${child.exitCode}`);
    const { promise, resolve: answer } = Promise.withResolvers<boolean>();
    const socket = connect(port, host, () => answer(true));
    socket.once("error", () => answer(false));
    const open = await promise;
    socket.destroy();
    if (open) return;
    await pause(50);
  }
  throw new Error("the server does not accept connections");
}

export async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const { promise, resolve: ended } = Promise.withResolvers<void>();
  child.once("exit", () => ended());
  child.kill(signal);
  await promise;
}
