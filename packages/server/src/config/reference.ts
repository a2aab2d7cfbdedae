/** Renders the option reference from the schema, so that documents and `--help` are never stale. */
import type { z } from "zod";
import { listOptions } from "./options.ts";

const escapeCell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");

/** A Markdown table with a row per option: name, kind, default, description, variable, flag. */
export function referenceMarkdown(schema: z.core.$ZodType, prefix?: string): string {
  const rows = listOptions(schema, prefix).map((option) => {
    const fallback = option.default ?? (option.required ? "required" : "none");
    const cells = [
      `\`${option.name}\``,
      option.kind,
      fallback === "required" || fallback === "none" ? fallback : `\`${fallback}\``,
      option.description,
      `\`${option.variable}\``,
      `\`${option.flag}\``,
    ];
    return `| ${cells.map(escapeCell).join(" | ")} |`;
  });
  const head = "| Option | Kind | Default | Meaning | Environment | Flag |";
  return [head, "|---|---|---|---|---|---|", ...rows, ""].join("\n");
}

/** For a terminal: a line per option, flags aligned. */
export function referenceText(schema: z.core.$ZodType, prefix?: string): string {
  const options = listOptions(schema, prefix).map((option) => ({
    option,
    left: option.form === "boolean" ? option.flag : `${option.flag} ${option.kind.toUpperCase()}`,
  }));
  const width = Math.min(44, Math.max(0, ...options.map(({ left }) => left.length)));
  const lines = options.map(({ option, left }) => {
    const fallback =
      option.default === undefined
        ? option.required
          ? " (required)"
          : ""
        : ` (default: ${option.default})`;
    return `  ${left.padEnd(width)}  ${option.description}${fallback}`;
  });
  return `${lines.join("\n")}\n`;
}
