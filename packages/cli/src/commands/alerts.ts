/** `roma alerts`: do messages about alerts reach anybody. */
import type { Command } from "commander";
import type { Context } from "../context.ts";

interface Flags {
  readonly config?: string;
  readonly json?: boolean;
}

export function addAlerts(program: Command, context: Context): void {
  program
    .command("alerts")
    .summary("try whether alerts reach somebody")
    .command("test")
    .summary("send a test message by each way that is configured; no server is needed")
    .option("--config <file>", "the server's configuration; else its environment variables")
    .option("--json", "one JSON object per line")
    .argument("[options...]", "of roma serve, behind --")
    .action(async (options: readonly string[], { config, json }: Flags) => {
      const { sendTestAlert } = await import("@roma/server");
      const sent = await sendTestAlert([
        ...(config === undefined ? [] : ["--config", config]),
        ...options,
      ]);
      if (sent.length === 0) {
        context.fail(new Error("no way is configured: set alerts.webhook or alerts.smtp"));
      }
      for (const { channel, failure } of sent) {
        if (json === true) await context.printJson({ channel, failure: failure ?? null });
        else if (failure === undefined) await context.print(`${channel}: the receiver took it`);
        if (failure !== undefined) context.fail(new Error(failure), channel);
      }
    });
}
