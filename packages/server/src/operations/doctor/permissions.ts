/**
 * May the service write each file that it will have to write? Asked of the kernel where this process is the service's
 * user, which knows ACLs and read-only mounts; computed from owner and mode for another user.
 */
import { constants, type Stats } from "node:fs";
import { access, lstat, readdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Account, accountName } from "./accounts.ts";
import { type Finding, findings, unlessHanging } from "./finding.ts";

const { ok, warn, fail } = findings("permissions");

export interface PermissionsOptions {
  readonly data: string;
  /** Folders of the storages, and of other files that are written. */
  readonly folders: readonly string[];
  /** The service's user; undefined: this process's. */
  readonly computedFor?: Account | undefined;
}

/** Names of files in the data folder that must be the service's own. */
const ownFiles = [
  "metadata.sqlite",
  "metadata.sqlite-wal",
  "metadata.sqlite-shm",
  "metadata.sqlite.lock",
  "seal.key",
  "root-key.json",
];

/** Of these nobody else may read a byte. */
const secretFiles: ReadonlySet<string> = new Set(["seal.key", "root-key.json"]);

export async function checkPermissions(options: PermissionsOptions): Promise<readonly Finding[]> {
  const data = resolve(options.data);
  const who = options.computedFor?.name ?? accountName(process.getuid?.() ?? 0);
  const may = (path: string, mode: number) => mayAccess(path, mode, options.computedFor);
  const found: Finding[] = [];
  const there = await unlessHanging(seen(data));
  if (there === "hangs") return [hanging(data)];
  if (there === "hidden") {
    const advice = `let ${who} through the folders above it (chmod o+x), or move the data`;
    return [fail(`${who} may not reach ${data}`, advice)];
  }
  if (there === undefined) return [await canBeMade(data, who, may)];
  for (const folder of [data, join(data, "objects"), ...options.folders]) {
    found.push(...(await checkFolder(folder, { who, may, isData: folder === data })));
  }
  for (const name of ownFiles) found.push(...(await checkFile(join(data, name), name, who, may)));
  if (found.length === 0) found.push(ok(`${who} may write every file that it will have to write`));
  return found;
}

type May = (path: string, mode: number) => Promise<boolean>;

async function canBeMade(data: string, who: string, may: May): Promise<Finding> {
  let parent = dirname(data);
  while ((await kindOf(parent)) === undefined && parent !== dirname(parent))
    parent = dirname(parent);
  if (await may(parent, constants.W_OK | constants.X_OK)) {
    return ok(`${data} is not there yet, and ${who} may make it`);
  }
  return fail(
    `${data} is not there, and ${who} may not make it in ${parent}`,
    `install -d -o ${who} -m 0700 ${data}`,
  );
}

async function checkFolder(
  folder: string,
  { who, may, isData }: { readonly who: string; readonly may: May; readonly isData: boolean },
): Promise<readonly Finding[]> {
  const kind = await unlessHanging(kindOf(folder));
  if (kind === "hangs") return [hanging(folder)];
  if (kind === undefined) return [];
  if (!kind.isDirectory()) return [fail(`${folder} is not a folder`, "move it away")];
  const writable = await unlessHanging(
    may(folder, constants.R_OK | constants.W_OK | constants.X_OK),
  );
  if (writable === "hangs") return [hanging(folder)];
  const owner = accountName(kind.uid);
  if (!writable) {
    return [
      fail(
        `${who} may not write in ${folder}: it is ${owner}'s, mode ${modeOf(kind)}`,
        `chown -R ${who} ${folder}, or run the service as ${owner}`,
      ),
    ];
  }
  const open = isData && (kind.mode & 0o077) !== 0;
  const advice = `chmod 700 ${folder}`;
  const found = open ? [warn(`${folder} may be read by others, mode ${modeOf(kind)}`, advice)] : [];
  return [...found, ...(await foreignEntries(folder, { who, may }))];
}

/** One level: whoever ran a command as root once has left such entries at the top. */
async function foreignEntries(
  folder: string,
  { who, may }: { readonly who: string; readonly may: May },
): Promise<readonly Finding[]> {
  const names = await unlessHanging(readdir(folder).catch(() => []));
  if (names === "hangs") return [hanging(folder)];
  for (const name of names.slice(0, 1_000)) {
    const path = join(folder, name);
    const kind = await kindOf(path);
    if (kind === undefined || !kind.isDirectory() || name === "lost+found") continue;
    if (await may(path, constants.R_OK | constants.W_OK | constants.X_OK)) continue;
    const owner = accountName(kind.uid);
    // One stands for all: the advice is for the whole folder.
    return [fail(`${who} may not write in ${path}: it is ${owner}'s`, `chown -R ${who} ${folder}`)];
  }
  return [];
}

async function checkFile(
  path: string,
  name: string,
  who: string,
  may: May,
): Promise<readonly Finding[]> {
  const kind = await unlessHanging(kindOf(path));
  if (kind === "hangs") return [hanging(path)];
  if (kind === undefined) return [];
  const owner = accountName(kind.uid);
  if (!(await may(path, constants.R_OK | constants.W_OK))) {
    return [
      fail(
        `${who} may not write ${path}: it is ${owner}'s, mode ${modeOf(kind)}`,
        `chown ${who} ${path}`,
      ),
    ];
  }
  if (secretFiles.has(name) && (kind.mode & 0o077) !== 0) {
    return [
      fail(`${path} is a secret that others may read, mode ${modeOf(kind)}`, `chmod 600 ${path}`),
    ];
  }
  return [];
}

async function mayAccess(
  path: string,
  mode: number,
  account: Account | undefined,
): Promise<boolean> {
  if (account === undefined) {
    return await access(path, mode).then(
      () => true,
      () => false,
    );
  }
  // Every folder on the way must let it through.
  for (let at = dirname(path); ; at = dirname(at)) {
    if (!allows(await stat(at), constants.X_OK, account)) return false;
    if (at === dirname(at)) break;
  }
  return allows(await stat(path), mode, account);
}

function allows({ uid, gid, mode }: Stats, wanted: number, account: Account): boolean {
  if (account.uid === 0) return true;
  const shift = uid === account.uid ? 6 : account.gids.includes(gid) ? 3 : 0;
  return ((mode >> shift) & wanted) === wanted;
}

async function kindOf(path: string): Promise<Stats | undefined> {
  return await lstat(path).catch(() => undefined);
}

async function seen(path: string): Promise<Stats | "hidden" | undefined> {
  return await lstat(path).catch((error: unknown) =>
    error instanceof Error && "code" in error && error.code === "EACCES" ? "hidden" : undefined,
  );
}

function modeOf({ mode }: Stats): string {
  return (mode & 0o777).toString(8).padStart(4, "0");
}

function hanging(path: string): Finding {
  return fail(
    `${path} does not answer: its mount hangs`,
    "look at the mount, and at what serves it",
  );
}
