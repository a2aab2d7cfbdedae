/**
 * Verifies an exported audit log without the server that wrote it, by its layout alone (`docs/audit.md`): each
 * line is hashed as it stands, with the hash before it, and follows on the line above.
 */
import { createHash } from "node:crypto";

export interface ChainPoint {
  readonly sequence: number;
  readonly hash: string;
}

export interface ChainReport {
  readonly checked: number;
  /** With the number of the line in the file. The first of a file is believed to follow on what it says. */
  readonly problems: readonly { readonly line: number; readonly problem: string }[];
  /** What the first line says that it follows on. */
  readonly anchor: ChainPoint | undefined;
  readonly head: ChainPoint | undefined;
}

const linePattern = /^(\{.*),"previous":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}$/s;
const problemsMax = 100;

/** Reads the lines once; `expected` is a place that the chain must contain. */
export async function verifyChain(
  lines: AsyncIterable<string>,
  { expected }: { readonly expected?: ChainPoint | undefined } = {},
): Promise<ChainReport> {
  const problems: { readonly line: number; readonly problem: string }[] = [];
  let [number, checked] = [0, 0];
  let anchor: ChainPoint | undefined;
  let head: ChainPoint | undefined;
  let isExpectedThere = false;
  for await (const text of lines) {
    number += 1;
    if (text === "") continue;
    const say = (problem: string) => {
      if (problems.length < problemsMax) problems.push({ line: number, problem });
    };
    const read = readLine(text);
    if (read === undefined) {
      say("is not a record of an audit log");
      continue;
    }
    checked += 1;
    const { sequence, previous, hash } = read;
    anchor ??= { sequence: sequence - 1, hash: previous };
    const before: ChainPoint = head ?? anchor;
    if (hashOf(read) !== hash) say(`record ${sequence} was changed`);
    else if (sequence !== before.sequence + 1) {
      say(`record ${sequence} follows on ${before.sequence}: lines are missing, or out of order`);
    } else if (previous !== before.hash) {
      say(`record ${sequence} does not follow on the record before it`);
    }
    head = { sequence, hash };
    if (expected?.sequence === sequence) {
      isExpectedThere = true;
      if (expected.hash !== hash)
        say(`record ${sequence} is not the one with the hash that is kept`);
    }
  }
  if (expected !== undefined && !isExpectedThere) {
    problems.push({
      line: number,
      problem: `record ${expected.sequence}, which is kept, is missing`,
    });
  }
  return { checked, problems, anchor, head };
}

interface ReadLine extends ChainPoint {
  readonly text: string;
  readonly previous: string;
}

function readLine(line: string): ReadLine | undefined {
  const [, start, previous = "", hash = ""] = linePattern.exec(line) ?? [];
  if (start === undefined) return undefined;
  const text = `${start}}`;
  try {
    const record: { readonly sequence?: unknown } = JSON.parse(text);
    const { sequence } = record;
    if (typeof sequence !== "number" || !Number.isSafeInteger(sequence)) return undefined;
    return { sequence, hash, text, previous };
  } catch {
    return undefined;
  }
}

function hashOf({ previous, text }: ReadLine): string {
  return createHash("sha256").update(Buffer.from(previous, "hex")).update(text).digest("hex");
}
