/** `roma serve`: the server. Its flags are its own: `main.ts` passes them on as they are. */
import type { Command } from "commander";

/** For the list of commands; `main.ts` serves before commander would read its flags. */
export function addServe(program: Command): void {
  program
    .command("serve")
    .summary("start the server; see roma serve --help")
    .allowUnknownOption()
    .allowExcessArguments();
}
