// Lists of objects, page by page, in the byte order of keys. A storage that repeats itself, as some do
// for ever with encoded markers, is an error and no endless list.

import { OperationalError } from "../../core/errors.ts";
import type { BlobHead, Call } from "../../core/ports/storage-driver.ts";
import type { S3Context } from "./context.ts";
import { classifyConnection } from "./errors.ts";
import { prefixQuery, type QueryPair } from "./signatures/encode.ts";
import { type ObjectPage, parseObjectPage } from "./wire.ts";

export interface ListOptions extends Call {
  readonly after?: string;
}

/** Keys without the storage's prefix. */
export async function* listObjects(
  context: S3Context,
  prefix: string,
  { signal, after = "" }: ListOptions,
): AsyncGenerator<BlobHead> {
  const { keyPrefix } = context;
  signal.throwIfAborted();
  context.calls.throwIfClosed();
  if (!prefix.isWellFormed() || prefix.includes("\0")) return;
  let last = after === "" ? "" : keyPrefix + after;
  let token: string | undefined;
  for (;;) {
    const page = await readPage(context, { prefix: keyPrefix + prefix, last, token, signal });
    for (const { key, ...object } of page.objects) {
      if (!isAfter(key, last) || !key.startsWith(keyPrefix + prefix)) throw repeats();
      last = key;
      const bare = key.slice(keyPrefix.length);
      // A marker of a folder that somebody made under the very prefix.
      if (bare !== "") yield { key: bare, ...object, digests: {}, metadata: {} };
    }
    if (!page.truncated) return;
    if (page.objects.length === 0 && page.token === undefined) throw repeats();
    token = page.token;
  }
}

interface PageQuery {
  readonly prefix: string;
  /** The last key seen. */
  readonly last: string;
  readonly token: string | undefined;
  readonly signal: AbortSignal;
}

async function readPage(
  { client, dialect }: S3Context,
  { prefix, last, token, signal }: PageQuery,
): Promise<ObjectPage> {
  const query: QueryPair[] = [...prefixQuery(prefix)];
  if (dialect.listUrlEncode) query.push(["encoding-type", "url"]);
  if (dialect.listVersion === 2) {
    query.push(["list-type", "2"]);
    if (token !== undefined) query.push(["continuation-token", token]);
    else if (last !== "") query.push(["start-after", last]);
  } else if (last !== "") {
    query.push(["marker", last]);
  }
  const { text } = await client.read({ operation: "list", method: "GET", query, signal });
  try {
    return parseObjectPage(text);
  } catch (error) {
    throw classifyConnection(error, "list");
  }
}

function isAfter(key: string, last: string): boolean {
  return last === "" || Buffer.compare(Buffer.from(key), Buffer.from(last)) > 0;
}

function repeats(): OperationalError {
  return new OperationalError(
    "unavailable",
    "the storage's list is out of order or repeats itself",
    {
      retryable: false,
    },
  );
}
