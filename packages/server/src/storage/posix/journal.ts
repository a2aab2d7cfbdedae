// What is durably known of an upload in parts: one line per fact, each with its CRC-32, appended and
// synced after the bytes it speaks of. A torn last line is a fact that was never acknowledged, and is
// cut. The journal may trail the data, and never leads it.

import { constants } from "node:fs";
import { crc32 } from "node:zlib";
import { OperationalError } from "../../core/errors.ts";
import { during } from "./errors.ts";
import type { Files } from "./files.ts";

export interface RecordedPart {
  readonly length: number;
  /** CRC-64/NVME, 16 hexadecimal digits. */
  readonly crc: string;
}

export type Fact =
  | {
      readonly type: "created";
      readonly key: string;
      readonly partBytes: number;
      readonly createOnly: boolean;
      readonly createdAt: string;
    }
  | ({ readonly type: "part"; readonly partNumber: number } & RecordedPart)
  /** The part is about to be written again: until then there is none. */
  | { readonly type: "lost"; readonly partNumber: number }
  | { readonly type: "offset"; readonly offset: number }
  /** The data has this length and tag and is about to get its name. */
  | {
      readonly type: "completing";
      readonly length: number;
      readonly etag: string;
      readonly modifiedMs: number;
    };

export interface UploadState {
  readonly key: string;
  readonly partBytes: number;
  readonly createOnly: boolean;
  readonly createdAt: Date;
  readonly parts: Map<number, RecordedPart>;
  offset: number;
  completing:
    | { readonly length: number; readonly etag: string; readonly modifiedMs: number }
    | undefined;
  /** Bytes of whole lines: where the next goes. */
  journalBytes: number;
}

const writeFlags = constants.O_RDWR | constants.O_NOFOLLOW;
const createFlags = writeFlags | constants.O_CREAT | constants.O_EXCL;

function line(fact: Fact): Buffer {
  const text = JSON.stringify(fact);
  return Buffer.from(`${crc32(text).toString(16).padStart(8, "0")} ${text}\n`);
}

/** Makes the file, which must not exist, and syncs it; its folder is synced by the caller. */
export async function createJournal(files: Files, path: string, fact: Fact): Promise<void> {
  const fd = await during("open", files.open(path, createFlags, 0o640));
  try {
    await writeLine(files, fd, line(fact), 0);
  } finally {
    await files.close(fd);
  }
}

/** Durable when it resolves; then the state has the fact too. */
export async function appendFact(
  files: Files,
  path: string,
  state: UploadState,
  fact: Fact,
): Promise<void> {
  const fd = await during("open", files.open(path, writeFlags));
  try {
    const bytes = line(fact);
    await writeLine(files, fd, bytes, state.journalBytes);
    apply(state, fact);
    state.journalBytes += bytes.length;
  } finally {
    await files.close(fd);
  }
}

async function writeLine(files: Files, fd: number, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const rest = bytes.subarray(done);
    done += await during("write", files.write(fd, [rest], position + done));
  }
  // Whatever a torn line left behind it must not follow this one.
  await during("write", files.truncate(fd, position + bytes.length));
  await during("sync", files.syncData(fd));
}

/**
 * Undefined if its first line was never whole: then nobody was told of the upload. `data_damaged` if that
 * line is another than was written. Rejects if there is no such file.
 */
export async function readJournal(files: Files, path: string): Promise<UploadState | undefined> {
  const fd = await during("open", files.open(path, constants.O_RDONLY | constants.O_NOFOLLOW));
  try {
    const stat = await during("read", files.statOpen(fd));
    const bytes = Buffer.alloc(Number(stat.size));
    let read = 0;
    while (read < bytes.length) {
      const rest = bytes.subarray(read);
      const count = await during("read", files.read(fd, rest, rest.length, read));
      if (count === 0) break;
      read += count;
    }
    return parseJournal(bytes.subarray(0, read));
  } finally {
    await files.close(fd);
  }
}

function parseJournal(bytes: Buffer): UploadState | undefined {
  let state: UploadState | undefined;
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(0x0a, start);
    const fact = end === -1 ? undefined : parseLine(bytes.toString("utf8", start, end));
    if (fact === undefined) break;
    if (state !== undefined) apply(state, fact);
    else if (fact.type === "created") state = stateOf(fact);
    else break;
    start = end + 1;
  }
  if (state === undefined) {
    if (!bytes.includes(0x0a)) return undefined;
    throw new OperationalError("data_damaged", "the record of the upload is damaged");
  }
  state.journalBytes = start;
  return state;
}

function stateOf(created: Fact & { type: "created" }): UploadState {
  const { key, partBytes, createOnly, createdAt } = created;
  return {
    key,
    partBytes,
    createOnly,
    createdAt: new Date(createdAt),
    parts: new Map(),
    offset: 0,
    completing: undefined,
    journalBytes: 0,
  };
}

function apply(state: UploadState, fact: Fact): void {
  if (fact.type === "part") {
    state.parts.set(fact.partNumber, { length: fact.length, crc: fact.crc });
  } else if (fact.type === "lost") {
    state.parts.delete(fact.partNumber);
  } else if (fact.type === "offset") {
    state.offset = fact.offset;
  } else if (fact.type === "completing") {
    const { length, etag, modifiedMs } = fact;
    state.completing = { length, etag, modifiedMs };
  }
}

function parseLine(text: string): Fact | undefined {
  const json = text.slice(9);
  if (text.slice(0, 9) !== `${crc32(json).toString(16).padStart(8, "0")} `) return undefined;
  // The CRC says that these bytes are what `line` wrote; the shape is checked all the same.
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  return isFact(value) ? value : undefined;
}

const shapes: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  created: { key: "string", partBytes: "number", createOnly: "boolean", createdAt: "string" },
  part: { partNumber: "number", length: "number", crc: "string" },
  lost: { partNumber: "number" },
  offset: { offset: "number" },
  completing: { length: "number", etag: "string", modifiedMs: "number" },
};

function isFact(value: unknown): value is Fact {
  if (typeof value !== "object" || value === null || !("type" in value)) return false;
  const shape = typeof value.type === "string" ? shapes[value.type] : undefined;
  if (shape === undefined) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  return Object.entries(shape).every(([name, type]) => typeof fields.get(name) === type);
}
