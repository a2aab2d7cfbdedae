/** `roma sign` (a URL for one object) and `roma grant` (a token for a key, a prefix or a bucket). */
import type { GrantRequestJson } from "@roma/contract";
import { type Command, Option } from "commander";
import { isPrefix, type ParsedAddress, parseAddress, parseObjectAddress } from "../address.ts";
import type { Context } from "../context.ts";
import { collect, wholeNumber } from "../options.ts";
import { parseBytes } from "../text.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  readonly expires: string;
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly contentType?: readonly string[];
  readonly action?: readonly string[];
  readonly template?: string;
  readonly count?: number;
  readonly context?: unknown;
  readonly json?: boolean;
}

const grantable = ["read", "write", "delete", "list"] as const;

export function addGrant(program: Command, context: Context): void {
  const sign = program
    .command("sign")
    .summary("make a URL that reads (get) or uploads (put) one object without a key")
    .argument("<method>", "get or put")
    .argument("<object>", "BUCKET/KEY");
  withLimits(sign).action(async (method: string, text: string, flags: Flags, command: Command) => {
    const { bucket, key } = parseObjectAddress(text);
    const action = { get: "object:read", put: "object:write" } as const;
    if (method !== "get" && method !== "put") throw new UsageError(`${method}: write get or put`);
    const request: GrantRequestJson = {
      bucket,
      key,
      actions: [action[method]],
      methods: [method.toUpperCase()],
      ...limitsOf(flags),
    };
    await make(context, command, { request, flags });
  });
  const grant = program
    .command("grant")
    .summary("make a token that permits some actions for some time")
    .argument("<address>", "BUCKET, BUCKET/PREFIX/ or BUCKET/KEY")
    .option(
      "--template <template>",
      "the server makes the keys below the address, like {date}/{uuid}{ext}",
    )
    .option("--count <count>", "objects that may be written with it", wholeNumber(1, 1_000_000))
    .option("--context <json>", "kept with what is written with it", parseContext)
    .addOption(
      new Option("--action <action>", "read, write, delete or list; repeatable")
        .argParser(collect)
        .makeOptionMandatory(),
    );
  withLimits(grant).action(async (text: string, flags: Flags, command: Command) => {
    const address = parseAddress(text);
    const actions = (flags.action ?? []).map((name) => {
      const known = grantable.find((candidate) => candidate === name.replace(/^object:/, ""));
      if (known === undefined) throw new UsageError(`--action ${name}: ${grantable.join(", ")}`);
      return `object:${known}` as const;
    });
    const { count, context: kept } = flags;
    const request = {
      bucket: address.bucket,
      ...placeOf(address, flags.template),
      actions,
      ...limitsOf(flags),
      ...(count === undefined ? {} : { count }),
      ...(kept === undefined ? {} : { context: kept }),
    };
    await make(context, command, { request, flags });
  });
}

function placeOf(
  address: ParsedAddress,
  template: string | undefined,
): Pick<GrantRequestJson, "key" | "prefix" | "template"> {
  const { key } = address;
  if (!isPrefix(address)) {
    if (template === undefined) return { key };
    throw new UsageError("--template: the address is one key; write BUCKET or BUCKET/PREFIX/");
  }
  return { prefix: key, ...(template === undefined ? {} : { template: key + template }) };
}

function parseContext(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError("--context is not JSON");
  }
}

function withLimits(command: Command): Command {
  return command
    .option("--expires <time>", 'how long it holds, like "15 min"; at most 7 days', "15 min")
    .option("--min-bytes <size>", "smallest upload", parseBytes)
    .option("--max-bytes <size>", "largest upload, like 20MiB", parseBytes)
    .option(
      "--content-type <type>",
      "a type that may be uploaded, like image/*; repeatable",
      collect,
    )
    .option("--json", "as JSON");
}

function limitsOf(flags: Flags): Partial<GrantRequestJson> & Pick<GrantRequestJson, "expiresIn"> {
  const { expires, minBytes, maxBytes, contentType } = flags;
  return {
    expiresIn: expires,
    ...(minBytes === undefined ? {} : { minBytes }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(contentType === undefined ? {} : { contentTypes: contentType }),
  };
}

interface Wish {
  readonly request: GrantRequestJson;
  readonly flags: Flags;
}

async function make(context: Context, command: Command, { request, flags }: Wish): Promise<void> {
  const administration = await context.administration(command);
  const { endpoint } = await context.connection(command);
  const made = await administration.grants.create(request, { signal: context.signal });
  const relative = made.url?.startsWith("/") === true;
  const url = relative ? endpoint.value.replace(/\/$/, "") + made.url : made.url;
  if (flags.json === true) return await context.printJson({ ...made, url });
  await context.print(url ?? made.grant);
  context.note(`holds until ${made.expiresAt}`);
}
