/** Answers that are no success, as the errors that applications of Parse know. */
import type { ParseSdk, SavedFile } from "./sdk.ts";

/** Codes of Parse (`Parse.Error`). */
export const codes = {
  connectionFailed: 100,
  operationForbidden: 119,
  fileTooLarge: 129,
  fileSave: 130,
  fileDelete: 153,
  fileRead: 601,
} as const;

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** `code` is for answers that bring none: a proxy's page, another program. */
export function refusalOf(parse: ParseSdk, { status, text }: Answer, code: number): Error {
  const told = jsonOf(text);
  const message =
    typeof told.error === "string" ? told.error : `the server answered with status ${status}`;
  if (typeof told.code === "number") return new parse.Error(told.code, message);
  if (status === 413) return new parse.Error(codes.fileTooLarge, message);
  if (status === 401 || status === 403) return new parse.Error(codes.operationForbidden, message);
  return new parse.Error(code, message);
}

/** What a save was answered with, or the error that it is. */
export function savedOf(parse: ParseSdk, answer: Answer): SavedFile {
  if (answer.status < 200 || answer.status > 299) throw refusalOf(parse, answer, codes.fileSave);
  const { name, url } = jsonOf(answer.text);
  if (typeof name === "string" && typeof url === "string") return { name, url };
  throw new parse.Error(codes.fileSave, "the server did not say where the file is");
}

/** Whether the same request may succeed later, if its body can be sent again. */
export function isPassing(status: number): boolean {
  return status >= 500 && status !== 501 && status !== 507;
}

function jsonOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
