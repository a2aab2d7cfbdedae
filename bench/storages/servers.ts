// Which storages stand behind Roma, and how does it come to know them? A real one by the scripts of
// test/services, or the stub; each becomes a storage of Roma by `PUT /v1/storages/{id}`, with a bucket
// of the same name whose objects go there.

import { execFile, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { pidOf, portSaid, type Subject, start, stop } from "../servers.ts";
import { type S3Place, signedPut } from "./place.ts";
import type { RealStorage } from "./question.ts";

const execute = promisify(execFile);
const services = resolve(import.meta.dirname, "../../test/services");
const bucket = "bench";

const kinds = {
  ceph: {
    vendor: "ceph-rgw",
    prefix: "CEPH_S3",
    settings: { CEPH_PARTS: "rgw", CEPH_OSD_BYTES: "51539607552" },
  },
  minio: { vendor: "minio", prefix: "MINIO_S3", settings: {} },
} as const;

export interface StartedPlace extends AsyncDisposable {
  readonly place: S3Place;
}

/** Started in the folder, with an empty bucket; wiped when it is disposed or this process ends. */
export async function startReal(name: RealStorage, folder: string): Promise<StartedPlace> {
  const { vendor, prefix, settings } = kinds[name];
  mkdirSync(folder);
  const script = join(services, `${name}.sh`);
  const env = {
    ...{ ...process.env, ...settings, SERVICES_DIR: folder },
    SERVICES_PORT_OFFSET: String(100 * randomInt(110)),
  };
  // Waits for the end of its input, whatever ended this process.
  const keeper = spawn("bash", ["-c", 'read -r _; exec "$0" wipe', script], {
    ...{ env, detached: true },
    stdio: ["pipe", "ignore", "inherit"],
  });
  const wipe = async (): Promise<void> => {
    const ended = once(keeper, "exit");
    keeper.stdin.end();
    await ended;
  };
  try {
    await execute(script, ["up"], { env });
    const { stdout } = await execute(script, ["env"], { env });
    const values = new Map(stdout.split("\n").map((line) => splitOnce(line)));
    const value = (key: string): string => values.get(`${prefix}_${key}`) ?? "";
    const place = {
      ...{ vendor, bucket, endpoint: value("ENDPOINT"), region: value("REGION") },
      ...{ accessKeyId: value("ACCESS_KEY"), secretAccessKey: value("SECRET_KEY") },
    };
    const { url, headers } = signedPut(place, { bytes: 0 });
    const made = await fetch(url, { method: "PUT", headers });
    if (!made.ok) throw new Error(`the bucket was not made: ${await made.text()}`);
    return { place, [Symbol.asyncDispose]: wipe };
  } catch (error) {
    await wipe();
    throw error;
  }
}

export interface Stub extends StartedPlace {
  readonly port: number;
  /** From now on it answers nothing. */
  silence(): void;
  /** What each connection asked for last, by the port at its other end. */
  open(): Promise<ReadonlyMap<number, string>>;
}

/** `waitMs`: before it takes a body of 1 MiB or more. */
export async function startStub({ waitMs }: { readonly waitMs: number }): Promise<Stub> {
  const child = start([process.execPath, join(import.meta.dirname, "stub.ts"), String(waitMs)]);
  const port = await portSaid(child, /^listening on http:\/\/[^:]+:(\d+)$/m);
  return {
    port,
    place: {
      ...{ vendor: "ceph-rgw", region: "us-east-1", bucket, endpoint: `http://127.0.0.1:${port}` },
      ...{ accessKeyId: "bench", secretAccessKey: "bench" },
    },
    silence: () => void process.kill(pidOf(child), "SIGUSR2"),
    open: async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/-/open`);
      // Our own program says it.
      return new Map((await answer.json()) as [number, string][]);
    },
    [Symbol.asyncDispose]: () => stop(child, "SIGTERM"),
  };
}

/** Makes storage and bucket `name`. */
export async function addStorage(
  roma: Subject,
  name: string,
  { place, settings = {} }: { readonly place: S3Place; readonly settings?: object },
): Promise<void> {
  await putJson(roma, `/v1/storages/${name}`, {
    ...{ driver: "s3", addressStyle: "path", keyPrefix: `${name}/`, ...place, ...settings },
  });
  await putJson(roma, `/v1/buckets/${name}`, { placement: name });
}

export function urlOf(roma: Subject, path: string): string {
  return `http://${roma.target.host}:${roma.target.port}${path}`;
}

export function headersOf(roma: Subject): Record<string, string> {
  const lines = roma.target.headers.split("\r\n").filter(Boolean);
  return Object.fromEntries(lines.map((line) => splitOnce(line, ": ")));
}

async function putJson(roma: Subject, path: string, value: unknown): Promise<void> {
  const answer = await fetch(urlOf(roma, path), {
    method: "PUT",
    headers: { ...headersOf(roma), "content-type": "application/json" },
    body: JSON.stringify(value),
  });
  if (!answer.ok) throw new Error(`PUT ${path}: ${answer.status} ${await answer.text()}`);
}

function splitOnce(line: string, separator = "="): [string, string] {
  const at = line.indexOf(separator);
  return at === -1 ? [line, ""] : [line.slice(0, at), line.slice(at + separator.length)];
}
