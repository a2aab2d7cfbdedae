/** Asking a person, when there is one. */
import { createInterface } from "node:readline/promises";
import type { Context } from "./context.ts";

/** True when the person types `word`. False without asking when there is no terminal. */
export async function confirm(context: Context, question: string, word: string): Promise<boolean> {
  const { stdin, stderr, signal } = context.terminal;
  if (stdin.isTTY !== true || stderr.isTTY !== true) return false;
  const lines = createInterface({ input: stdin, output: stderr });
  try {
    return (await lines.question(`${question} Type ${word} to go on: `, { signal })) === word;
  } finally {
    lines.close();
  }
}
