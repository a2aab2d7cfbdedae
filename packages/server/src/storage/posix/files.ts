// The file system calls of the posix driver as promises over Node's callback API, which costs less
// per call than FileHandle. One object, so that a test can make a call fail; a call that was started
// always ends in its promise, and nothing here retries. No call goes around it: `withSlots` bounds how
// many run at once.

import fs from "node:fs";
import type { Slots } from "./slots.ts";

type Callback<T> = (error: NodeJS.ErrnoException | null, value: T) => void;

/** What the driver asks of the operating system. Rejects with the system's own error. */
export interface Files {
  /** The signal ends the wait for a slot; a call that began goes on. */
  open(path: string, flags: number, mode?: number, signal?: AbortSignal): Promise<number>;
  close(fd: number): Promise<void>;
  /** Resolves to the bytes read: fewer than asked at the end of the file, 0 past it. */
  read(fd: number, buffer: Uint8Array, length: number, position: number): Promise<number>;
  /** Writes at an explicit offset; resolves to the bytes written, which may be fewer. */
  write(fd: number, pieces: readonly Uint8Array[], position: number): Promise<number>;
  /** The file's bytes and what is needed to read them; other times of the file may be lost. */
  syncData(fd: number): Promise<void>;
  sync(fd: number): Promise<void>;
  truncate(fd: number, length: number): Promise<void>;
  statOpen(fd: number): Promise<fs.BigIntStats>;
  /** Of the name itself: a symbolic link is not followed. */
  stat(path: string): Promise<fs.BigIntStats>;
  rename(from: string, to: string): Promise<void>;
  link(from: string, to: string): Promise<void>;
  /** `anyway`: for what the driver itself clears away, waits for its slot however long that takes. */
  unlink(path: string, how?: "anyway"): Promise<void>;
  makeFolder(path: string, mode: number): Promise<void>;
  removeFolder(path: string): Promise<void>;
  /** The path with every symbolic link resolved. */
  realPath(path: string): Promise<string>;
  openFolder(path: string): Promise<OpenFolder>;
  readText(path: string): Promise<string>;
  statFileSystem(path: string): Promise<fs.StatsFs>;
}

/** To be iterated, once: that closes it. */
export interface OpenFolder extends AsyncIterable<fs.Dirent> {
  /** `null` after the last entry. */
  read(): Promise<fs.Dirent | null>;
  close(): Promise<void>;
}

function call<T>(start: (callback: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error === null || error === undefined) resolve(value);
      else reject(error);
    });
  });
}

const bigint = { bigint: true } as const;

/** The real ones. */
export const systemFiles: Files = {
  open: (path, flags, mode) => call((done) => fs.open(path, flags, mode, done)),
  close: (fd) => call<void>((done) => fs.close(fd, done as fs.NoParamCallback)),
  read: (fd, buffer, length, position) =>
    call((done) => fs.read(fd, buffer, 0, length, position, done)),
  write: (fd, pieces, position) =>
    call((done) => {
      const only = pieces.length === 1 ? pieces[0] : undefined;
      if (only === undefined) fs.writev(fd, pieces, position, done);
      else fs.write(fd, only, 0, only.length, position, done);
    }),
  syncData: (fd) => call<void>((done) => fs.fdatasync(fd, done as fs.NoParamCallback)),
  sync: (fd) => call<void>((done) => fs.fsync(fd, done as fs.NoParamCallback)),
  truncate: (fd, length) =>
    call<void>((done) => fs.ftruncate(fd, length, done as fs.NoParamCallback)),
  statOpen: (fd) => call((done) => fs.fstat(fd, bigint, done)),
  stat: (path) => call((done) => fs.lstat(path, bigint, done)),
  rename: (from, to) => call<void>((done) => fs.rename(from, to, done as fs.NoParamCallback)),
  link: (from, to) => call<void>((done) => fs.link(from, to, done as fs.NoParamCallback)),
  unlink: (path) => call<void>((done) => fs.unlink(path, done as fs.NoParamCallback)),
  makeFolder: (path, mode) =>
    call<void>((done) => fs.mkdir(path, mode, done as fs.NoParamCallback)),
  removeFolder: (path) => call<void>((done) => fs.rmdir(path, done as fs.NoParamCallback)),
  realPath: (path) => call((done) => fs.realpath.native(path, done)),
  openFolder: (path) => call((done) => fs.opendir(path, { bufferSize: 256 }, done)),
  readText: (path) => call((done) => fs.readFile(path, "utf8", done)),
  statFileSystem: (path) => call((done) => fs.statfs(path, done)),
};

/** The files with each call in a slot. Closing is never refused: a descriptor would be lost. */
export function withSlots(files: Files, slots: Slots): Files {
  return {
    open: (path, flags, mode, signal) => slots.run(() => files.open(path, flags, mode), signal),
    close: (fd) => slots.runAnyway(() => files.close(fd)),
    read: (fd, buffer, length, position) =>
      slots.run(() => files.read(fd, buffer, length, position)),
    write: (fd, pieces, position) => slots.run(() => files.write(fd, pieces, position)),
    syncData: (fd) => slots.run(() => files.syncData(fd)),
    sync: (fd) => slots.run(() => files.sync(fd)),
    truncate: (fd, length) => slots.run(() => files.truncate(fd, length)),
    statOpen: (fd) => slots.run(() => files.statOpen(fd)),
    stat: (path) => slots.run(() => files.stat(path)),
    rename: (from, to) => slots.run(() => files.rename(from, to)),
    link: (from, to) => slots.run(() => files.link(from, to)),
    unlink: (path, how) => {
      const unlink = (): Promise<void> => files.unlink(path);
      return how === "anyway" ? slots.runAnyway(unlink) : slots.run(unlink);
    },
    makeFolder: (path, mode) => slots.run(() => files.makeFolder(path, mode)),
    removeFolder: (path) => slots.run(() => files.removeFolder(path)),
    realPath: (path) => slots.run(() => files.realPath(path)),
    openFolder: async (path) =>
      folderWithSlots(await slots.run(() => files.openFolder(path)), slots),
    readText: (path) => slots.run(() => files.readText(path)),
    statFileSystem: (path) => slots.run(() => files.statFileSystem(path)),
  };
}

function folderWithSlots(folder: OpenFolder, slots: Slots): OpenFolder {
  const read = (): Promise<fs.Dirent | null> => slots.run(() => folder.read());
  const close = (): Promise<void> => slots.runAnyway(() => folder.close());
  return {
    read,
    close,
    async *[Symbol.asyncIterator]() {
      try {
        for (let entry = await read(); entry !== null; entry = await read()) yield entry;
      } finally {
        await close();
      }
    },
  };
}
