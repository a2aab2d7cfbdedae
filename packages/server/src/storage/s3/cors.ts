// The rules of the bucket for pages of other origins. The document is S3's, which OSS, OBS and COS speak as
// well; what stands in it beside the rules is written back as it was read.

import { createHash } from "node:crypto";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { CorsRule } from "../../core/ports/cors-rule.ts";
import type { Call } from "../../core/ports/storage-driver.ts";
import type { S3Context } from "./context.ts";
import { type CorsDocument, parseCorsDocument } from "./cors-document.ts";
import { corsXml } from "./xml.ts";

const query = [["cors", undefined]] as const;
const none: CorsDocument = { rules: [], others: [] };

export async function readCors(context: S3Context, call: Call): Promise<readonly CorsRule[]> {
  return (await readDocument(context, call)).rules;
}

/** A change that nobody else makes at the same time: the storages know no condition here. */
export async function changeCors(
  context: S3Context,
  edit: (rules: readonly CorsRule[]) => readonly CorsRule[],
  call: Call,
): Promise<readonly CorsRule[]> {
  const { others, ...before } = await readDocument(context, call);
  const rules = edit(before.rules);
  const { named } = context.dialect.bucketCors;
  const written = named ? rules : rules.map(({ id: _id, ...rule }) => rule);
  await write(context, { rules: written, others }, call);
  return written;
}

async function write(
  context: S3Context,
  { rules, others }: CorsDocument,
  { signal }: Call,
): Promise<void> {
  const asked = { operation: "cors", query, signal } as const;
  await hinted(context, async () => {
    // No vendor takes a document without a rule.
    if (rules.length === 0) {
      await context.client.read({ ...asked, method: "DELETE" });
      return;
    }
    const body = Buffer.from(corsXml(rules, others));
    await context.client.read({
      ...asked,
      method: "PUT",
      headers: {
        "content-type": "application/xml",
        "content-md5": createHash("md5").update(body).digest("base64"),
      },
      body,
    });
  });
}

async function readDocument(context: S3Context, { signal }: Call): Promise<CorsDocument> {
  const { client, dialect } = context;
  if (!dialect.bucketCors.kept) {
    const message = `rules of a bucket for pages of other origins on ${dialect.title}`;
    throw new OperationalError("unsupported", withHint(context, message));
  }
  return await hinted(context, async () => {
    try {
      const { text } = await client.read({ operation: "cors", method: "GET", query, signal });
      return parseCorsDocument(text);
    } catch (error) {
      if (isOperationalError(error) && error.context.vendorCode === "NoSuchCORSConfiguration") {
        return none;
      }
      throw error;
    }
  });
}

/** What is `unsupported` says where the operator finds it instead. */
async function hinted<T>(context: S3Context, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!isOperationalError(error, "unsupported")) throw error;
    throw new OperationalError("unsupported", withHint(context, error.message), {
      cause: error,
      context: error.context,
    });
  }
}

function withHint({ dialect }: S3Context, message: string): string {
  const { hint } = dialect.bucketCors;
  return hint === undefined ? message : `${message}: ${hint}`;
}
