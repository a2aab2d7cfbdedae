/** `roma download`: one object, or all below a prefix, verified before they get their names. */
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Roma } from "@roma/sdk/node";
import { isRomaError } from "@roma/sdk/node";
import type { Command } from "commander";
import { lastSegment, type ParsedAddress, parseAddress, parseObjectAddress } from "../address.ts";
import type { Context } from "../context.ts";
import { isFatal } from "../failure.ts";
import { localPath } from "../local-path.ts";
import { wholeNumber } from "../options.ts";
import { forEachParallel } from "../parallel.ts";
import { Progress } from "../progress.ts";
import { countObjects, formatBytes, printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly recursive?: boolean;
  readonly parallel: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addDownload(program: Command, context: Context): void {
  program
    .command("download")
    .summary("fetch an object, or with -r all below a prefix")
    .argument("<source>", "BUCKET/KEY; with -r BUCKET or BUCKET/PREFIX/")
    .argument("[path]", "file, folder, or - for stdout; default: here, under the key's last part")
    .option("-r, --recursive", "all objects below the prefix")
    .option("--parallel <n>", "downloads at a time, with -r", wholeNumber(1, 256), 4)
    .option("--json", "one JSON object per line on stdout")
    .option("-q, --quiet", "print failures only")
    .action(async (text: string, path: string | undefined, flags: Flags, command: Command) => {
      if (path === "-" && flags.json === true) {
        throw new UsageError("--json and - would both write to stdout");
      }
      const client = await context.client(command);
      if (flags.recursive === true) await downloadAll(context, client, { text, path, flags });
      else await downloadOne(context, client, { text, path, flags });
    });
}

interface Wish {
  readonly text: string;
  readonly path: string | undefined;
  readonly flags: Flags;
}

async function downloadOne(context: Context, client: Roma, wish: Wish): Promise<void> {
  const { path, flags } = wish;
  const address = parseObjectAddress(wish.text);
  if (address.key.endsWith("/") && path !== "-") {
    throw new UsageError(`${wish.text} is a prefix: use -r for all below it`);
  }
  if (path === "-") {
    const download = await client.download(address, { signal: context.signal });
    for await (const chunk of download.body) await writeOut(context, chunk);
    return;
  }
  const target = await targetPath(context, path, address.key);
  const progress = new Progress(context.terminal.stderr, { shown: isShown(flags) });
  try {
    await fetchTo({ context, client, flags, progress }, address, target);
  } finally {
    progress.end();
  }
}

async function targetPath(
  { terminal }: Context,
  path: string | undefined,
  key: string,
): Promise<string> {
  if (path !== undefined && !/[\\/]$/.test(path)) {
    const full = resolve(terminal.cwd, path);
    const folder = (await stat(full).catch(() => undefined))?.isDirectory() === true;
    if (!folder) return full;
  }
  return localPath(resolve(terminal.cwd, path ?? "."), lastSegment(key));
}

interface Job {
  readonly context: Context;
  readonly client: Roma;
  readonly flags: Flags;
  readonly progress: Progress;
}

async function fetchTo(job: Job, { bucket, key }: ParsedAddress, path: string): Promise<void> {
  const { context, client, flags, progress } = job;
  const transfer = progress.transfer();
  let expected = flags.recursive === true;
  const download = await client.downloadFile({ bucket, key }, path, {
    signal: context.signal,
    onProgress: ({ bytes, totalBytes }) => {
      if (!expected && totalBytes !== undefined) {
        progress.expect(totalBytes);
        progress.expectNoMore();
      }
      expected = true;
      transfer.update(bytes);
    },
  });
  transfer.finish();
  progress.clear();
  const { etag, crc64nvme, size } = download.head;
  if (flags.json === true) {
    const facts = { bucket, key, path, size, etag, crc64nvme, verified: download.verified };
    await context.printJson({ event: "downloaded", ...facts });
  } else if (flags.quiet !== true) {
    await context.print(printable(path));
  }
}

async function downloadAll(context: Context, client: Roma, wish: Wish): Promise<void> {
  const { flags } = wish;
  if (wish.path === "-") throw new UsageError("-r needs a folder, not stdout");
  const { bucket, key: prefix } = parseAddress(wish.text);
  const folder = resolve(context.terminal.cwd, wish.path ?? ".");
  // Local names begin where the prefix's last folder ends, as `ls` shows them.
  const cut = prefix.lastIndexOf("/") + 1;
  const progress = new Progress(context.terminal.stderr, { shown: isShown(flags) });
  const job: Job = { context, client, flags, progress };
  const keys = async function* () {
    for await (const page of client.list(bucket, { prefix, signal: context.signal }).pages()) {
      for (const object of page.objects) {
        progress.expect(object.size);
        yield object.key;
      }
    }
    progress.expectNoMore();
  };
  try {
    await forEachParallel(keys(), flags.parallel, async (key) => {
      try {
        await fetchTo(job, { bucket, key }, localPath(folder, key.slice(cut)));
      } catch (error) {
        if (isFatal(error)) throw error;
        progress.clear();
        context.fail(error, printable(`${bucket}/${key}`));
        if (flags.json === true) {
          const code = isRomaError(error) ? error.code : "failed";
          const message = error instanceof Error ? error.message : String(error);
          await context.printJson({ event: "failed", bucket, key, code, message });
        }
      }
    });
  } finally {
    progress.end();
  }
  const { bytes, count, seconds } = progress;
  const failed = context.failures.count;
  if (flags.json === true) {
    await context.printJson({ event: "summary", downloaded: count, failed, bytes, seconds });
  } else if (flags.quiet !== true) {
    const failures = failed === 0 ? "" : `, ${failed} failed`;
    const folderText = printable(join(folder, "."));
    context.note(`${countObjects(count)}, ${formatBytes(bytes)} in ${folderText}${failures}`);
  }
}

function isShown({ json, quiet }: Flags): boolean {
  return json !== true && quiet !== true;
}

function writeOut({ terminal }: Context, chunk: Uint8Array): Promise<void> {
  const { stdout } = terminal;
  return new Promise((resolve, reject) => {
    stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
