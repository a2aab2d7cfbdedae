/**
 * What `upload` was asked to send: files, folders, patterns and stdin, found as they are needed, each
 * with the name it gets below the target. No two sources get one name.
 */
import { opendir, stat } from "node:fs/promises";
import { basename, join, relative, resolve, sep } from "node:path";
import { UsageError } from "./usage-error.ts";

export interface UploadSource {
  /** The path to open; `-` for stdin. */
  readonly path: string;
  /** The key below the target, with `/` between segments; empty for stdin. */
  readonly name: string;
  /** `undefined` for what has none: pipes, devices. */
  readonly size: number | undefined;
}

/** Called for what is found and cannot be sent: a dangling link, a socket, an unreadable folder. */
export type OnSkipped = (path: string, error: Error) => void;

interface Entry {
  readonly path: string;
  /** Empty where the names of a folder's files begin below the folder. */
  readonly name: string;
  readonly kind: "file" | "folder" | "stream";
  readonly size: number | undefined;
}

export interface UploadPlan {
  /** True when there can only be one object: then the target may be a key. */
  readonly single: boolean;
  sources(onSkipped: OnSkipped): AsyncGenerator<UploadSource, void, undefined>;
}

/** Looks at what was named, and nothing below it yet. Throws a `UsageError` for what is not there. */
export async function planUpload(names: readonly string[], cwd: string): Promise<UploadPlan> {
  const entries = (await Promise.all(names.map((name) => findEntries(name, cwd)))).flat();
  const [only] = entries;
  return {
    single: entries.length === 1 && only?.kind !== "folder",
    sources: (onSkipped) => walkEntries(entries, onSkipped),
  };
}

async function findEntries(name: string, cwd: string): Promise<readonly Entry[]> {
  if (name === "-") return [{ path: "-", name: "", kind: "stream", size: undefined }];
  const path = resolve(cwd, name);
  const stats = await stat(path).catch(() => undefined);
  if (stats?.isDirectory() === true) {
    // As with rsync: `photos` keeps its name, `photos/` and `.` stand for what is inside.
    const inside = /(^|[\\/])\.{0,2}$/.test(name);
    return [{ path, name: inside ? "" : basename(path), kind: "folder", size: undefined }];
  }
  if (stats !== undefined) {
    const regular = stats.isFile();
    const size = regular ? stats.size : undefined;
    return [{ path, name: basename(path), kind: regular ? "file" : "stream", size }];
  }
  return await findByPattern(name, cwd);
}

async function findByPattern(pattern: string, cwd: string): Promise<readonly Entry[]> {
  const { glob, isDynamicPattern } = await import("tinyglobby");
  if (!isDynamicPattern(pattern)) throw new UsageError(`${pattern}: no such file or folder`);
  // Names begin below the last folder without a pattern: `photos/**/*.jpg` gives `2024/a.jpg`.
  const segments = pattern.split("/");
  const firstDynamic = segments.findIndex((segment) => isDynamicPattern(segment));
  const base = resolve(
    cwd,
    segments.slice(0, firstDynamic).join("/") || (pattern[0] === "/" ? "/" : "."),
  );
  const below = segments.slice(firstDynamic).join("/");
  const paths = await glob(below, { cwd: base, absolute: true, expandDirectories: false });
  if (paths.length === 0) throw new UsageError(`${pattern}: nothing matches`);
  return await Promise.all(
    paths.sort().map(async (path): Promise<Entry> => {
      const { size } = await stat(path);
      return { path, name: slashed(relative(base, path)), kind: "file", size };
    }),
  );
}

async function* walkEntries(
  entries: readonly Entry[],
  onSkipped: OnSkipped,
): AsyncGenerator<UploadSource, void, undefined> {
  // One folder cannot hold a name twice, so only several sources need watching.
  const seen = entries.length > 1 ? new Map<string, string>() : undefined;
  for (const entry of entries) {
    const found = entry.kind === "folder" ? walkFolder(entry, onSkipped) : [entry];
    for await (const { path, name, size } of found) {
      const other = seen?.get(name);
      if (other === undefined) {
        seen?.set(name, path);
        yield { path, name, size };
      } else {
        onSkipped(path, new UsageError(`would replace ${other}: both become ${name}`));
      }
    }
  }
}

async function* walkFolder(
  folder: Pick<Entry, "path" | "name">,
  onSkipped: OnSkipped,
): AsyncGenerator<UploadSource, void, undefined> {
  let children: AsyncIterable<{ readonly name: string; isDirectory(): boolean }>;
  try {
    children = await opendir(folder.path);
  } catch (error) {
    onSkipped(folder.path, asError(error));
    return;
  }
  for await (const child of children) {
    const path = join(folder.path, child.name);
    const name = folder.name === "" ? child.name : `${folder.name}/${child.name}`;
    if (child.isDirectory()) {
      yield* walkFolder({ path, name }, onSkipped);
      continue;
    }
    try {
      // Links to files are followed, links to folders are not: they may lead in circles.
      const stats = await stat(path);
      if (stats.isFile()) yield { path, name, size: stats.size };
      else onSkipped(path, new Error("not a file; links to folders are not followed"));
    } catch (error) {
      onSkipped(path, asError(error));
    }
  }
}

function slashed(path: string): string {
  return sep === "/" ? path : path.replaceAll(sep, "/");
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
