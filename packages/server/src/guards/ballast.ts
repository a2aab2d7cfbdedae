/**
 * A file that takes room on the disk of the metadata store for the moment at which the disk is full: it is removed then,
 * so that deletes and the audit log go on, and made again when there is room. Its bytes are random, since file systems
 * that compress keep no blocks for zeros.
 */
import { randomFillSync } from "node:crypto";
import { open, rename, rm, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../core/ports/log.ts";

const chunkBytes = 1024 * 1024;
/** Between two chunks: it is made beside what the server does. */
const pauseMs = 5;
/** An unfinished one that nobody can be writing any more. */
const abandonedMs = 10 * 60_000;

export class Ballast {
  readonly bytes: number;
  readonly #path: string;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #making: Promise<void> | undefined;
  /** What was given up here and is not back yet: room that the server owes itself. */
  #isOwed = false;

  constructor(options: { readonly folder: string; readonly bytes: number; readonly log: Log }) {
    this.bytes = options.bytes;
    this.#path = join(options.folder, "ballast");
    this.#log = options.log;
  }

  /** Bytes that are free only because the ballast was given up. */
  get owedBytes(): number {
    return this.#isOwed ? this.bytes : 0;
  }

  /** Makes it in the background, unless it is there. To be asked when there is room for it. */
  keep(): void {
    if (this.bytes === 0 || this.#stop.signal.aborted) return;
    this.#making ??= this.#make()
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        this.#log.warn({ err: error }, "the ballast of the metadata's disk was not made");
      })
      .finally(() => {
        this.#making = undefined;
      });
  }

  /** Gives the room free. False if there was none to give. */
  async release(): Promise<boolean> {
    if (this.bytes === 0) return false;
    try {
      await unlink(this.#path);
    } catch {
      return false;
    }
    this.#isOwed = true;
    const { bytes } = this;
    this.#log.warn({ bytes }, "the metadata's disk is full: the ballast was removed to make room");
    return true;
  }

  /** Stops making it. What is there stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#making;
  }

  async #make(): Promise<void> {
    if ((await sizeOf(this.#path)) === this.bytes) {
      this.#isOwed = false;
      return;
    }
    const { signal } = this.#stop;
    const temporary = `${this.#path}.tmp`;
    // Another worker may be at it.
    const age = await ageMsOf(temporary);
    if (age !== undefined && age < abandonedMs) return;
    await rm(temporary, { force: true });
    try {
      {
        await using file = await open(temporary, "wx", 0o600);
        const chunk = randomFillSync(Buffer.allocUnsafe(Math.min(chunkBytes, this.bytes)));
        for (let at = 0; at < this.bytes; at += chunk.length) {
          await file.write(chunk, 0, Math.min(chunk.length, this.bytes - at));
          await delay(pauseMs, undefined, { signal });
        }
        await file.sync();
      }
      await rename(temporary, this.#path);
      this.#isOwed = false;
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch {
    return undefined;
  }
}

async function ageMsOf(path: string): Promise<number | undefined> {
  try {
    return Date.now() - (await stat(path)).mtimeMs;
  } catch {
    return undefined;
  }
}
