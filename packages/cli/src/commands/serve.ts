/** `roma serve`: the server. Its flags are its own, so they are passed on as they are. */
import type { Command } from "commander";

/** Runs the server until it is stopped. Loaded on use: no other command needs it. */
export async function serve(flags: readonly string[]): Promise<void> {
  const { runServe } = await import("@roma/server");
  await runServe(flags);
}

/** For the list of commands; `main.ts` calls `serve` before commander would read its flags. */
export function addServe(program: Command): void {
  program
    .command("serve")
    .summary("start the server; see roma serve --help")
    .allowUnknownOption()
    .allowExcessArguments();
}
