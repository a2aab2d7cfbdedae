/**
 * Where lines of the log go: a pipe, or a file, terminal or socket. None ever blocks the event loop. A pipe is written to by
 * the loop itself, since a blocking write to one whose reader stands still would hold a thread of the pool, and the end
 * of the process would wait for that thread for ever (measured with sonic-boom, `sync: false`). Everything else takes one
 * thread at a time at most.
 *
 * The pipe is opened anew: what the process was given is shared with the supervisor and the other workers, and Node, as it
 * ends, makes it blocking again for all of them.
 */
import { constants, fstatSync, openSync, write, writeSync } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** Why lines are dropped, as the metric says it. */
export type DropReason = "full" | "read_only" | "closed" | "denied" | "slow" | "failed";

export interface LineTarget {
  /** Of whole lines in one write, where there are several. */
  readonly writeBytesMax: number;
  /** Rejects when the bytes could not be written, all or some of them. */
  write(bytes: Buffer): Promise<void>;
  /** In the process's last moment; never throws, and does not wait for a reader. */
  writeAtExit(bytes: Buffer): void;
  reasonOf(error: unknown): DropReason;
  /** What is being written is given up where that can be. */
  close(): Promise<void>;
}

const reasons: Readonly<Record<string, DropReason>> = {
  ENOSPC: "full",
  EDQUOT: "full",
  EFBIG: "full",
  EROFS: "read_only",
  EACCES: "denied",
  EPERM: "denied",
  EPIPE: "closed",
  ECONNRESET: "closed",
  ENXIO: "closed",
  EBADF: "closed",
  ERR_STREAM_DESTROYED: "closed",
};

export function reasonOf(error: unknown): DropReason {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return Object.hasOwn(reasons, code) ? (reasons[code] ?? "failed") : "failed";
}

/** As many bytes go into a pipe at once or not at all, so that processes that share one mix no lines. */
const pipeBytesMax = 4096;
const fileBytesMax = 64 * 1024;
/** Until a socket that is full is tried again. */
const againMs = 20;

/** Of stdout or stderr: what it is decides how it is written to. */
export function standardTarget(fd: 1 | 2): LineTarget {
  try {
    const found = fstatSync(fd);
    if (found.isFIFO() && process.platform === "linux")
      return new PipeTarget(`/proc/self/fd/${fd}`);
    return new DescriptorTarget(fd, found.isFile() ? fileBytesMax : pipeBytesMax);
  } catch {
    // It was closed before the start: each write says so.
    return new DescriptorTarget(fd, pipeBytesMax);
  }
}

class PipeTarget implements LineTarget {
  readonly writeBytesMax = pipeBytesMax;
  readonly reasonOf = reasonOf;
  readonly #path: string;
  #pipe: { readonly fd: number; readonly socket: Socket } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async write(bytes: Buffer): Promise<void> {
    const { socket } = this.#opened();
    await new Promise<void>((resolve, reject) => {
      socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  writeAtExit(bytes: Buffer): void {
    try {
      // As much as the pipe takes now.
      if (this.#pipe !== undefined) writeSync(this.#pipe.fd, bytes);
    } catch {
      // Nobody is left to tell.
    }
  }

  /** What is being written is given up. */
  async close(): Promise<void> {
    this.#pipe?.socket.destroy();
  }

  #opened() {
    if (this.#pipe !== undefined) return this.#pipe;
    const fd = openSync(this.#path, constants.O_WRONLY | constants.O_NONBLOCK);
    const socket = new Socket({ fd, readable: false, writable: true });
    const pipe = { fd, socket };
    socket.unref();
    // The write that failed has told already.
    socket.on("error", () => {});
    socket.once("close", () => {
      if (this.#pipe === pipe) this.#pipe = undefined;
    });
    this.#pipe = pipe;
    return pipe;
  }
}

/** Of a file, a terminal or a socket that was opened by whoever started the process. */
class DescriptorTarget implements LineTarget {
  readonly writeBytesMax: number;
  readonly reasonOf = reasonOf;
  readonly #fd: number;
  #isTorn = false;

  constructor(fd: number, writeBytesMax: number) {
    this.#fd = fd;
    this.writeBytesMax = writeBytesMax;
  }

  async write(bytes: Buffer): Promise<void> {
    await writeWhole(bytes, this.#isTorn, {
      write: (rest) => writeDescriptor(this.#fd, rest),
      torn: (isTorn) => {
        this.#isTorn = isTorn;
      },
    });
  }

  writeAtExit(bytes: Buffer): void {
    try {
      writeSync(this.#fd, bytes);
    } catch {
      // Nobody is left to tell.
    }
  }

  async close(): Promise<void> {}
}

/** Looked at so often whether the file still has its name. */
const lookMs = 1_000;

/** A file by its path: opened at the first line, and again when its name leads elsewhere. */
export class FileTarget implements LineTarget {
  readonly writeBytesMax = fileBytesMax;
  readonly reasonOf = reasonOf;
  readonly #path: string;
  #file: FileHandle | undefined;
  #inode = "";
  #lookedAt = 0;
  #isTorn = false;

  constructor(path: string) {
    this.#path = path;
  }

  async write(bytes: Buffer): Promise<void> {
    const file = await this.#opened();
    try {
      await writeWhole(bytes, this.#isTorn, {
        write: async (rest) => (await file.write(rest)).bytesWritten,
        torn: (isTorn) => {
          this.#isTorn = isTorn;
        },
      });
    } catch (error) {
      // The mount may be another one when it works again.
      await this.close();
      throw error;
    }
  }

  writeAtExit(bytes: Buffer): void {
    if (this.#file === undefined) return;
    try {
      writeSync(this.#file.fd, bytes);
    } catch {
      // Nobody is left to tell.
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {});
  }

  async #opened(): Promise<FileHandle> {
    const now = performance.now();
    if (this.#file !== undefined && now - this.#lookedAt < lookMs) return this.#file;
    this.#lookedAt = now;
    if (this.#file !== undefined && (await inodeAt(this.#path)) === this.#inode) return this.#file;
    const wasTorn = this.#isTorn && this.#file === undefined;
    await this.close();
    const file = await open(this.#path, "a", 0o640);
    this.#file = file;
    this.#inode = inodeOf(await file.stat());
    this.#isTorn = wasTorn;
    return file;
  }
}

function inodeOf({ dev, ino }: { readonly dev: number; readonly ino: number }): string {
  return `${dev}:${ino}`;
}

async function inodeAt(path: string): Promise<string | undefined> {
  try {
    return inodeOf(await stat(path));
  } catch {
    return undefined;
  }
}

/** After a line that was cut by a full disk the next one begins on a line of its own. */
async function writeWhole(
  bytes: Buffer,
  isTorn: boolean,
  to: {
    readonly write: (rest: Buffer) => Promise<number>;
    readonly torn: (isTorn: boolean) => void;
  },
): Promise<void> {
  let rest = isTorn ? Buffer.concat([Buffer.from("\n"), bytes]) : bytes;
  while (rest.length > 0) {
    const written = await to.write(rest);
    rest = rest.subarray(written);
    to.torn(rest.length > 0);
  }
}

/** A socket that is full may say so, or wait: it is not ours alone. */
async function writeDescriptor(fd: number, bytes: Buffer): Promise<number> {
  for (;;) {
    const written = await new Promise<number | "again">((resolve, reject) => {
      write(fd, bytes, (error, count) => {
        if (error === null) resolve(count);
        else if (error.code === "EAGAIN") resolve("again");
        else reject(error);
      });
    });
    if (written !== "again") return written;
    // It does not keep the process from ending.
    await delay(againMs, undefined, { ref: false });
  }
}
