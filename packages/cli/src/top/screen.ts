/** The terminal as a screen that is drawn again and again, and given back as it was. */
import type { Terminal } from "../context.ts";

const enter = "\u001b[?1049h\u001b[?25l\u001b[H";
const leave = "\u001b[?25h\u001b[?1049l";
const home = "\u001b[H";
const clearRestOfLine = "\u001b[K";
const clearBelow = "\u001b[J";

/** `q`, `Q`, and what Ctrl-C and Ctrl-D are while a terminal hands on every key. */
const quitKeys: ReadonlySet<number> = new Set([0x71, 0x51, 3, 4]);

export interface Screen extends Disposable {
  draw(lines: readonly string[]): void;
  /** Aborted when `q` or Ctrl-C was pressed, or the run was ended. */
  readonly ended: AbortSignal;
}

export function openScreen({ stdin, stdout, signal }: Terminal): Screen {
  const quit = new AbortController();
  const onKey = (bytes: Uint8Array): void => {
    if (bytes.some((byte) => quitKeys.has(byte))) quit.abort();
  };
  const raw = Reflect.get(stdin, "setRawMode");
  const setRaw = (on: boolean): void => {
    if (stdin.isTTY === true && typeof raw === "function") Reflect.apply(raw, stdin, [on]);
  };
  setRaw(true);
  if (stdin.isTTY === true) stdin.on("data", onKey);
  stdout.write(enter);
  const ended = AbortSignal.any([signal, quit.signal]);
  return {
    ended,
    draw: (lines) => {
      const [rows, columns] = ["rows", "columns"].map(
        (name) => Number(Reflect.get(stdout, name)) || undefined,
      );
      const shown = lines.slice(0, (rows ?? 50) - 1).map((line) => line.slice(0, columns ?? 200));
      const text = shown.map((line) => `${line}${clearRestOfLine}\r\n`).join("");
      stdout.write(`${home}${text}${clearBelow}`);
    },
    [Symbol.dispose]: () => {
      stdin.off("data", onKey);
      setRaw(false);
      stdin.pause();
      stdout.write(leave);
    },
  };
}
