/** `roma upload`: files, folders, patterns or stdin into a bucket, several at a time. */
import {
  isRomaError,
  type Roma,
  type Upload,
  type UploadOptions,
  type UploadResult,
} from "@roma/sdk/node";
import { type Command, Option } from "commander";
import { isPrefix, type ParsedAddress, parseAddress } from "../address.ts";
import { contentTypeOf } from "../content-types.ts";
import type { Context } from "../context.ts";
import { isFatal } from "../failure.ts";
import { collectMetadata, wholeNumber } from "../options.ts";
import { forEachParallel } from "../parallel.ts";
import { Progress, type TransferProgress } from "../progress.ts";
import { isStoredAlready } from "../stored-already.ts";
import { countObjects, formatBytes, printable } from "../text.ts";
import { planUpload, type UploadPlan, type UploadSource } from "../upload-sources.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly parallel: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly ifAbsent?: boolean;
  readonly resume?: boolean;
  readonly contentType?: string;
  readonly meta?: Readonly<Record<string, string>>;
}

export function addUpload(program: Command, context: Context): void {
  program
    .command("upload")
    .summary("send files, folders, patterns or stdin (-) to a bucket")
    .usage("[options] SOURCE... DEST")
    // Commander wants the variadic argument last, so the target is taken off its end.
    .argument(
      "<paths...>",
      "SOURCE: files, folders, quoted patterns, - for stdin; DEST: BUCKET, BUCKET/PREFIX/ or, for one source, BUCKET/KEY",
    )
    .addOption(new Option("-r, --recursive", "accepted; folders are always sent whole").hideHelp())
    .option("--parallel <n>", "uploads at a time", wholeNumber(1, 256), 4)
    .option("--if-absent", "refuse to replace objects")
    .option("--resume", "go on where an earlier run was ended; leave out what is there")
    .option("--content-type <type>", "for all sources; else known by extension or by content")
    .option("--meta <name=value>", "user metadata; repeatable", collectMetadata)
    .option("--json", "one JSON object per line on stdout")
    .option("-q, --quiet", "print failures only")
    .action(async (paths: string[], flags: Flags, command: Command) => {
      const dest = paths.at(-1);
      const sources = paths.slice(0, -1);
      if (dest === undefined || sources.length === 0) {
        throw new UsageError("upload needs at least one SOURCE and, last, the DEST");
      }
      const client = await context.client(command, { resume: flags.resume === true });
      await upload(context, client, { sources, dest, flags });
    });
}

interface Wish {
  readonly sources: readonly string[];
  readonly dest: string;
  readonly flags: Flags;
}

async function upload(context: Context, client: Roma, wish: Wish): Promise<void> {
  const { flags } = wish;
  const target = parseAddress(wish.dest);
  const plan = await planUpload(wish.sources, context.terminal.cwd);
  if (!plan.single && !isPrefix(target)) {
    throw new UsageError(
      `${wish.dest}: several sources need BUCKET or BUCKET/PREFIX/ (with the /)`,
    );
  }
  if (wish.sources.includes("-") && (!plan.single || isPrefix(target))) {
    throw new UsageError("stdin has no name: upload it alone, to BUCKET/KEY");
  }
  if (wish.sources.includes("-") && flags.resume === true) {
    throw new UsageError("stdin cannot be read again: leave out --resume");
  }
  const { stderr } = context.terminal;
  const shown = flags.json !== true && flags.quiet !== true;
  const progress = new Progress(stderr, { shown });
  const counted = progress.visible ? count(plan, progress) : Promise.resolve();
  let presentCount = 0;
  const onSkipped = (path: string, error: Error) => {
    progress.clear();
    context.fail(error, printable(path));
  };
  let ended = false;
  try {
    await forEachParallel(plan.sources(onSkipped), flags.parallel, async (source) => {
      const address = addressOf(source, target);
      const transfer = progress.transfer();
      try {
        const put = { context, client, source, address, flags };
        if (await isPresent(put)) {
          transfer.update(source.size ?? 0);
          transfer.present(source.size ?? 0);
          presentCount += 1;
          progress.clear();
          await reportPresent(put);
        } else {
          const result = await putOne(put, transfer);
          progress.clear();
          await reportStored(context, flags, source, result);
        }
        transfer.finish();
      } catch (error) {
        transfer.update(0);
        transfer.present(0);
        if (isRomaError(error, "aborted")) throw error;
        // What ends the run is said once, not by each upload that was under way.
        if (ended && isFatal(error)) return;
        ended ||= isFatal(error);
        progress.clear();
        await reportFailed(context, flags, { source, address, error });
        if (ended) throw new AlreadyReported();
      }
    });
  } catch (error) {
    if (!(error instanceof AlreadyReported)) throw error;
  } finally {
    progress.end();
    if (flags.resume === true && context.signal.aborted) {
      context.note("what has arrived is kept: the same command goes on from there");
    }
  }
  await counted;
  await reportSummary(context, flags, { progress, presentCount });
}

/** Ends the run after a failure that all others would share; it has been printed. */
class AlreadyReported extends Error {}

async function count(plan: UploadPlan, progress: Progress): Promise<void> {
  for await (const { size } of plan.sources(() => {})) progress.expect(size ?? 0);
  progress.expectNoMore();
}

function addressOf(source: UploadSource, target: ParsedAddress): ParsedAddress {
  return isPrefix(target) ? { ...target, key: target.key + source.name } : target;
}

interface Put {
  readonly context: Context;
  readonly client: Roma;
  readonly source: UploadSource;
  readonly address: ParsedAddress;
  readonly flags: Flags;
}

/** Of the runs before this one, if it resumes them. */
async function isPresent({ context, client, source, address, flags }: Put): Promise<boolean> {
  const { path, size } = source;
  if (flags.resume !== true || size === undefined) return false;
  const { contentType, meta: metadata } = flags;
  const wanted = { ...address, path, size, contentType, metadata };
  return await isStoredAlready(client, wanted, context.signal);
}

function putOne(put: Put, transfer: TransferProgress): Promise<UploadResult> {
  const { context, client, source, address, flags } = put;
  const { signal } = context;
  const resume = flags.resume === true;
  const contentType = flags.contentType ?? contentTypeOf(address.key, source.path);
  const options: UploadOptions = {
    ...address,
    onProgress: ({ bytes }) => transfer.update(bytes),
    onNotice: ({ code, bytes = 0 }) => {
      if (code === "resumed" || code === "began_again") transfer.present(bytes);
    },
    ...(resume ? {} : { signal }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(flags.meta === undefined ? {} : { metadata: flags.meta }),
    ...(flags.ifAbsent === true ? { createOnly: true } : {}),
  };
  const { path } = source;
  const upload = client.upload(path === "-" ? context.terminal.stdin : path, options);
  return resume ? suspendedBy(signal, upload) : upload.done();
}

/** An interruption ends it, and keeps what has arrived. */
async function suspendedBy(signal: AbortSignal, upload: Upload): Promise<UploadResult> {
  const suspend = () => void upload.suspend();
  signal.addEventListener("abort", suspend, { once: true });
  if (signal.aborted) suspend();
  try {
    return await upload.done();
  } finally {
    signal.removeEventListener("abort", suspend);
  }
}

async function reportPresent({ context, source, address, flags }: Put): Promise<void> {
  const { path, size } = source;
  if (flags.json === true) {
    await context.printJson({ event: "present", source: path, ...address, size });
  } else if (flags.quiet !== true) {
    await context.print(printable(`${address.bucket}/${address.key}`));
  }
}

async function reportStored(
  context: Context,
  flags: Flags,
  source: UploadSource,
  result: UploadResult,
): Promise<void> {
  const { bucket, key, size, etag, version, contentType, checksums, created } = result;
  if (flags.json === true) {
    const event = "uploaded";
    const facts = { bucket, key, size, etag, version, contentType, checksums, created };
    await context.printJson({ event, source: source.path, ...facts });
  } else if (flags.quiet !== true) {
    await context.print(printable(`${bucket}/${key}`));
  }
}

async function reportFailed(
  context: Context,
  flags: Flags,
  { source, address, error }: { source: UploadSource; address: ParsedAddress; error: unknown },
): Promise<void> {
  context.fail(error, printable(source.path));
  if (flags.json !== true) return;
  const code = isRomaError(error) ? error.code : "failed";
  const message = error instanceof Error ? error.message : String(error);
  await context.printJson({ event: "failed", source: source.path, ...address, code, message });
}

async function reportSummary(
  context: Context,
  flags: Flags,
  { progress, presentCount }: { readonly progress: Progress; readonly presentCount: number },
): Promise<void> {
  const { bytes, presentBytes, count, seconds } = progress;
  const failed = context.failures.count;
  if (flags.json === true) {
    const counts = { uploaded: count - presentCount, present: presentCount, failed };
    await context.printJson({ event: "summary", ...counts, bytes, presentBytes, seconds });
    return;
  }
  if (flags.quiet === true) return;
  const rate = `${formatBytes((bytes - presentBytes) / Math.max(seconds, 0.001))}/s`;
  const present = presentBytes === 0 ? "" : `, ${formatBytes(presentBytes)} were there`;
  const failures = failed === 0 ? "" : `, ${failed} failed`;
  const time = `${seconds.toFixed(1)} s`;
  const facts = `${formatBytes(bytes)} in ${time} (${rate})${present}${failures}`;
  context.note(`${countObjects(count)}, ${facts}`);
}
