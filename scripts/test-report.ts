// What the processes of a test run tell `scripts/test.ts`: a file of JSON lines whose path is in
// TEST_RUN_REPORT, appended to by `scripts/test-setup.mjs` and `test/prerequisites.ts`. Each line is
// one whole write, so processes that run side by side do not mix their lines.

import { readFileSync } from "node:fs";

/** Something that fails the run although no test noticed it. */
export type Violation = {
  readonly kind: "violation";
  readonly what: string;
  readonly program: string;
  readonly detail: string;
};

/** A test that did not run because the machine lacks something. */
export type LeftOut = {
  readonly kind: "left-out";
  readonly prerequisite: string;
  readonly enable: string;
  readonly file: string;
};

export type ReportLine = Violation | LeftOut;

/** The lines written so far; a file that does not exist has none. Throws on a line that is no report. */
export function readReport(path: string): ReportLine[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map(parseLine);
}

/** One line for each file and prerequisite, saying what was left out and how to have it run. */
export function describeLeftOut(lines: readonly ReportLine[]): string[] {
  const groups = new Map<string, { line: LeftOut; count: number }>();
  for (const line of lines) {
    if (line.kind !== "left-out") continue;
    const key = `${line.file}\n${line.prerequisite}`;
    const group = groups.get(key) ?? { line, count: 0 };
    group.count += 1;
    groups.set(key, group);
  }
  return [...groups.values()].map(({ line, count }) => {
    const tests = count === 1 ? "1 test" : `${count} tests`;
    return `left out: ${tests} of ${line.file}, needing ${line.prerequisite} (${line.enable})`;
  });
}

/** Each violation with the program it happened in and the stack. */
export function describeViolations(lines: readonly ReportLine[]): string[] {
  return lines
    .filter((line) => line.kind === "violation")
    .map((line) => `${line.what} in ${line.program}\n${line.detail}`);
}

function parseLine(line: string): ReportLine {
  const value: unknown = JSON.parse(line);
  if (typeof value !== "object" || value === null) throw new Error(`not a report: ${line}`);
  const text = (name: string): string => {
    const field: unknown = Reflect.get(value, name);
    if (typeof field !== "string") throw new Error(`no ${name} in the report: ${line}`);
    return field;
  };
  const kind = text("kind");
  if (kind === "violation") {
    return { kind, what: text("what"), program: text("program"), detail: text("detail") };
  }
  if (kind === "left-out") {
    const [prerequisite, enable, file] = [text("prerequisite"), text("enable"), text("file")];
    return { kind, prerequisite, enable, file };
  }
  throw new Error(`unknown kind in the report: ${line}`);
}
