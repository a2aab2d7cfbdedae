/** The environment that a person means. */
import { environmentPattern } from "@roma/contract";
import { UsageError } from "./usage-error.ts";

/** From `--env` or `ROMA_ENV`. */
export function meantEnvironment(
  flags: { readonly env?: string },
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const [label, source] =
    flags.env === undefined ? [env.ROMA_ENV, "ROMA_ENV"] : [flags.env, "--env"];
  if (label === undefined || (label === "" && source === "ROMA_ENV")) return undefined;
  if (environmentPattern.test(label)) return label;
  throw new UsageError(
    `${source} ${label}: a label is 1 to 32 lower-case letters, digits and hyphens, and begins with a letter`,
  );
}
