/** Asking a person, when there is one. */
import { createInterface } from "node:readline/promises";
import { RomaError } from "@roma/sdk/node";
import type { Context } from "./context.ts";

/**
 * True when the person types `word`. False without asking when there is no terminal, and when its
 * input ends; an interruption is `aborted`.
 */
export async function confirm(context: Context, question: string, word: string): Promise<boolean> {
  const { stdin, stderr, signal } = context.terminal;
  if (stdin.isTTY !== true || stderr.isTTY !== true) return false;
  const lines = createInterface({ input: stdin, output: stderr });
  const ended = new AbortController();
  let interrupted = false;
  // In a question the terminal's keys come here, not to the process as signals.
  lines.once("SIGINT", () => {
    interrupted = true;
    lines.close();
  });
  lines.once("close", () => ended.abort());
  try {
    const either = AbortSignal.any([signal, ended.signal]);
    return (
      (await lines.question(`${question} Type ${word} to go on: `, { signal: either })) === word
    );
  } catch (error) {
    stderr.write("\n");
    if (interrupted || signal.aborted) {
      throw new RomaError("aborted", "interrupted", { cause: error });
    }
    return false;
  } finally {
    lines.close();
  }
}
