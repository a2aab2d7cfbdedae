/**
 * Digests of Blobs in a worker, so that the page stays fluent; on the page itself where its policy
 * allows no worker. Blobs go to the worker by reference, and are read there a few MiB at a time.
 */
import type { RunningDigest } from "../digests/crc64-nvme.ts";
import { RomaError } from "../errors.ts";
import { browser, type PageWorker } from "./globals.ts";

interface Task {
  readonly blob: Blob;
  readonly prefix: Uint8Array | undefined;
}

type Digest = (task: Task) => Promise<string>;

interface Waiting {
  readonly task: Task;
  readonly resolve: (hex: string) => void;
  readonly reject: (error: unknown) => void;
}

/** Refers to nothing but its argument: its source goes to the worker. */
function makeDigest(start: () => RunningDigest): Digest {
  const sliceBytes = 4 * 1024 * 1024;
  return async ({ blob, prefix }) => {
    const digest = start();
    if (prefix !== undefined) digest.update(prefix);
    for (let at = 0; at < blob.size; at += sliceBytes) {
      digest.update(new Uint8Array(await blob.slice(at, at + sliceBytes).arrayBuffer()));
    }
    return digest.hex();
  };
}

interface WorkerScope {
  onmessage:
    | ((event: { readonly data: { readonly id: number; readonly task: Task } }) => void)
    | null;
  postMessage(message: unknown): void;
}

/** The same. One task after the other: the memory is that of one slice. */
function serve(scope: WorkerScope, digest: Digest): void {
  let turn: Promise<unknown> = Promise.resolve();
  scope.onmessage = ({ data: { id, task } }) => {
    turn = turn.then(() =>
      digest(task).then(
        (hex) => scope.postMessage({ id, hex }),
        (error: unknown) => scope.postMessage({ id, error: String(error) }),
      ),
    );
  };
}

export class Digester {
  readonly #make: () => () => RunningDigest;
  readonly #here: Digest;
  readonly #waiting = new Map<number, Waiting>();
  #worker: PageWorker | undefined;
  #impossible = false;
  #tasks = 0;

  /** `make` refers to nothing outside of itself: its source goes to the worker. */
  constructor(make: () => () => RunningDigest) {
    this.#make = make;
    this.#here = makeDigest(make());
  }

  /** Lower-case hex. Rejects with `source_failed` when the Blob cannot be read. */
  async digest(blob: Blob, prefix?: Uint8Array): Promise<string> {
    const task = { blob, prefix };
    try {
      // Sending it there would take longer.
      if (blob.size <= 64 * 1024) return await this.#here(task);
      const worker = this.#start();
      if (worker === undefined) return await this.#here(task);
      return await new Promise((resolve, reject) => {
        const id = ++this.#tasks;
        this.#waiting.set(id, { task, resolve, reject });
        worker.postMessage({ id, task });
      });
    } catch (cause) {
      const message = "the file cannot be read, or was changed; choose it again";
      throw new RomaError("source_failed", message, { cause });
    }
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(new Error("it was closed"));
    this.#waiting.clear();
  }

  #start(): PageWorker | undefined {
    if (this.#worker !== undefined || this.#impossible) return this.#worker;
    const { Worker } = browser;
    const source = `(${serve})(self,(${makeDigest})((${this.#make})()))`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    try {
      if (Worker === undefined) throw new Error("no workers here");
      const worker = new Worker(url);
      worker.onmessage = ({ data }) => this.#settle(data);
      worker.onerror = (event) => {
        event.preventDefault?.();
        this.#giveUp();
      };
      this.#worker = worker;
    } catch {
      this.#impossible = true;
    } finally {
      // The worker has begun to load it, or never will.
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    }
    return this.#worker;
  }

  #settle(data: unknown): void {
    const { id, hex, error }: { id?: number; hex?: string; error?: string } = {
      ...(data as object),
    };
    const waiting = this.#waiting.get(id ?? 0);
    this.#waiting.delete(id ?? 0);
    if (hex === undefined) waiting?.reject(new Error(error));
    else waiting?.resolve(hex);
  }

  /** The page's policy forbids the worker, or it broke: the page does all by itself from now on. */
  #giveUp(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#impossible = true;
    const left = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { task, resolve, reject } of left) this.#here(task).then(resolve, reject);
  }
}
