// What two captured requests have in common. All that differs has to stand in a table of differences,
// with its reason, and all that stands there has to be seen: nothing else may differ.

import type { Credentials } from "../../packages/server/src/storage/s3/credentials/credentials.ts";
import type { QueryPair } from "../../packages/server/src/storage/s3/signatures/encode.ts";
import { signObs } from "../../packages/server/src/storage/s3/signatures/obs.ts";
import { signOssV4 } from "../../packages/server/src/storage/s3/signatures/oss-v4.ts";
import { signSigV4 } from "../../packages/server/src/storage/s3/signatures/sigv4.ts";
import { childrenOf, parseXml, textOf } from "../../packages/server/src/storage/s3/xml.ts";
import type { CallName } from "./calls.ts";
import type { Captured } from "./loopback.ts";

export interface Difference {
  /** As `findDifferences` names it: `header user-agent`, `form of the body`, … */
  readonly what: string;
  readonly reason: string;
  /** Where it has to be seen; by default wherever, but once at least. */
  readonly calls?: readonly CallName[];
  /** What it changes of the signed text. */
  readonly signed?: RegExp;
}

/** Every difference but that of the signatures, with both values. */
export function findDifferences(
  ours: Captured,
  theirs: Captured,
): Readonly<Record<string, readonly [ours: string | undefined, theirs: string | undefined]>> {
  const found: Record<string, readonly [string | undefined, string | undefined]> = {};
  const compare = (what: string, one: string | undefined, other: string | undefined) => {
    if (one !== other) found[what] = [one, other];
  };
  compare("method", ours.method, theirs.method);
  const samePath = decodeURIComponent(ours.path) === decodeURIComponent(theirs.path);
  compare(samePath ? "encoding of the path" : "path", ours.path, theirs.path);
  const [one, other] = [pairsOf(ours.query), pairsOf(theirs.query)];
  const [order, otherOrder] = [one, other].map((pairs) => [...pairs.keys()].join(" "));
  if (sorted(one) === sorted(other)) compare("order of the query", order, otherOrder);
  for (const name of new Set([...one.keys(), ...other.keys()])) {
    const [value, otherValue] = [one.get(name), other.get(name)];
    const same =
      value !== undefined && otherValue !== undefined && meaning(value) === meaning(otherValue);
    compare(`${same ? "encoding of query" : "query"} ${name}`, value, otherValue);
  }
  const headersOf = ({ headers }: Captured) => ({
    ...headers,
    authorization: headers.authorization?.replace(/(Signature=|:).*$/, ""),
  });
  const [sent, otherSent]: Record<string, string | undefined>[] = [
    headersOf(ours),
    headersOf(theirs),
  ];
  for (const name of new Set([...Object.keys(ours.headers), ...Object.keys(theirs.headers)])) {
    const portOnly = name === "host" && ours.host === theirs.host;
    compare(portOnly ? "port of the host" : `header ${name}`, sent?.[name], otherSent?.[name]);
  }
  const sameParts = partsOf(ours.body) !== "" && partsOf(ours.body) === partsOf(theirs.body);
  compare(sameParts ? "form of the body" : "body", ours.body, theirs.body);
  return found;
}

/** Name and value as they stand in the address, but for the signature. */
function pairsOf(query: string): ReadonlyMap<string, string> {
  const pairs = query === "" ? [] : query.split("&");
  const named = pairs.map((pair): [string, string] => [pair.split("=")[0] ?? "", pair]);
  return new Map(named.map(([name, pair]) => [name, isSignature(name) ? name : pair]));
}

function isSignature(name: string): boolean {
  return ["X-Amz-Signature", "x-oss-signature", "Signature"].includes(name);
}

function meaning(pair: string): string {
  return decodeURIComponent(pair).replace(/=$/, "");
}

function sorted(pairs: ReadonlyMap<string, string>): string {
  return [...pairs.values()].sort().join("&");
}

/** Of the list that completes an upload: numbers and ETags. */
function partsOf(body: string): string {
  if (!body.includes("<CompleteMultipartUpload")) return "";
  const parts = childrenOf(parseXml(body), "Part");
  const texts = parts.map((part) => [textOf(part, "PartNumber"), textOf(part, "ETag")].join(" "));
  return texts.join("\n").replaceAll('"', "");
}

export interface Proof {
  /** As it was sent. */
  readonly signature: string;
  /** What that is the signature of. */
  readonly signedText: string;
}

export interface ProofTerms {
  readonly credentials: Credentials;
  readonly region: string;
  readonly bucket: string;
  readonly at: Date;
}

type Prove = (request: Captured, terms: ProofTerms) => Proof & { readonly computed: string };

/** By signature; `computed` is made of the signed text, so it equals `signature` if that text is right. */
export const proofs = {
  sigv4(request, terms) {
    const query = new Map(decodedPairs(request.query));
    const { authorization = "" } = request.headers;
    const fromHeader = /SignedHeaders=([^,]+), Signature=(\w+)/.exec(authorization) ?? [];
    const names = fromHeader[1] ?? query.get("X-Amz-SignedHeaders") ?? "";
    const signature = fromHeader[2] ?? query.get("X-Amz-Signature") ?? "";
    const toSign = {
      ...request,
      query: without(request.query, "X-Amz-Signature"),
      headers: pick(request, names.split(";")),
      payloadHash: request.headers["x-amz-content-sha256"] ?? "UNSIGNED-PAYLOAD",
    };
    const { canonicalRequest, signature: computed } = signSigV4(toSign, terms);
    return { signature, signedText: canonicalRequest, computed };
  },

  "oss-v4"(request, terms) {
    const query = new Map(decodedPairs(request.query));
    const { authorization = "" } = request.headers;
    const additional = query.get("x-oss-additional-headers")?.split(";") ?? [];
    const signature =
      /Signature=(\w+)$/.exec(authorization)?.[1] ?? query.get("x-oss-signature") ?? "";
    // OSS takes `?uploads=` for `?uploads`.
    const pairs = without(request.query, "x-oss-signature");
    const signedPairs = pairs.map(([name, value]): QueryPair => [name, value || undefined]);
    const toSign = { ...keyed(request, terms), query: signedPairs };
    const { canonicalRequest, signature: computed } = signOssV4(toSign, terms, additional);
    return { signature, signedText: canonicalRequest, computed };
  },

  obs(request, terms) {
    const query = new Map(decodedPairs(request.query));
    const { authorization = "", date = "" } = request.headers;
    const signature = authorization.split(":")[1] ?? query.get("Signature") ?? "";
    const toSign = { ...keyed(request, terms), query: decodedPairs(request.query) };
    const instant = query.get("Expires") ?? date;
    const { stringToSign, signature: computed } = signObs(toSign, instant, terms);
    return { signature, signedText: stringToSign, computed };
  },
} as const satisfies Record<string, Prove>;

function keyed({ path, ...request }: Captured, { bucket }: ProofTerms) {
  return { ...request, bucket, key: decodeURIComponent(path.slice(1)) };
}

function pick({ headers }: Captured, names: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name) => [name, headers[name] ?? ""]));
}

function without(query: string, unsigned: string): readonly QueryPair[] {
  return decodedPairs(query).filter(([name]) => name !== unsigned);
}

function decodedPairs(query: string): readonly QueryPair[] {
  const pairs = query === "" ? [] : query.split("&");
  return pairs.map((pair) => {
    const [name = "", value] = pair.split("=");
    return [decodeURIComponent(name), value === undefined ? undefined : decodeURIComponent(value)];
  });
}
