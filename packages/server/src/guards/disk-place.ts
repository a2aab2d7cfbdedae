/**
 * One folder whose file system is watched. A look never takes longer than its bound, and one that hangs keeps one
 * thread of the pool until it comes back: no second one is made meanwhile.
 */
import { readFileSync } from "node:fs";
import { realpath, stat, statfs } from "node:fs/promises";
import type { DiskRoom } from "./disk-room.ts";
import type { DiskSample } from "./disk-state.ts";

export class DiskPlace {
  readonly path: string;
  readonly #roomOn: (device: number) => DiskRoom;
  #room: DiskRoom | undefined;
  #realPath: string | undefined;
  #looking: { readonly since: number; readonly done: Promise<DiskSample | undefined> } | undefined;

  /** `roomOn` answers the room of a file system, the same one for all places on it. */
  constructor(path: string, roomOn: (device: number) => DiskRoom) {
    this.path = path;
    this.#roomOn = roomOn;
  }

  /** Of its file system, as of the last look; `undefined` before it could be looked at. */
  get room(): DiskRoom | undefined {
    return this.#room;
  }

  /** Milliseconds for which a look has been under way; 0 if none is. */
  get lookingMs(): number {
    return this.#looking === undefined ? 0 : performance.now() - this.#looking.since;
  }

  /** What was found; `undefined` when it takes longer than `msMax`, or the folder cannot be looked at. */
  async look(msMax: number): Promise<DiskSample | undefined> {
    this.#looking ??= {
      since: performance.now(),
      done: this.#look().finally(() => {
        this.#looking = undefined;
      }),
    };
    const { done } = this.#looking;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), msMax);
    });
    try {
      return await Promise.race([done, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #look(): Promise<DiskSample | undefined> {
    try {
      this.#realPath ??= await realpath(this.path);
      const { dev } = await stat(this.path);
      const room = this.#room?.device === dev ? this.#room : this.#roomOn(dev);
      // Before the look: others on the same file system find it from here on.
      this.#room = room;
      const mark = room.mark();
      const { bsize, blocks, bavail, files, ffree } = await statfs(this.path);
      room.look(mark, bavail * bsize);
      return {
        bytes: blocks * bsize,
        freeBytes: bavail * bsize,
        inodes: files,
        freeInodes: ffree,
        isReadOnly: isMountedReadOnly(this.#realPath),
      };
    } catch {
      // It is gone, or refuses: whoever uses it says so.
      return undefined;
    }
  }
}

/** By the kernel's own table, which no mount can make hang. False where there is none. */
function isMountedReadOnly(path: string): boolean {
  let table: string;
  try {
    table = readFileSync("/proc/self/mountinfo", "utf8");
  } catch {
    return false;
  }
  let found = { length: -1, isReadOnly: false };
  for (const line of table.split("\n")) {
    // proc_pid_mountinfo(5): id parent device root mount-point options … - type source super-options
    const fields = line.split(" ");
    const point = unescaped(fields[4] ?? "");
    if (point === "" || !isWithin(path, point) || point.length < found.length) continue;
    const superOptions = fields[fields.indexOf("-") + 3] ?? "";
    found = { length: point.length, isReadOnly: isRo(fields[5] ?? "") || isRo(superOptions) };
  }
  return found.isReadOnly;
}

function isRo(options: string): boolean {
  return options.split(",").includes("ro");
}

function isWithin(path: string, point: string): boolean {
  return point === "/" || path === point || path.startsWith(`${point}/`);
}

/** Blanks and their like are written as octal numbers. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
