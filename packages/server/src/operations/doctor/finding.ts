/** What a check of `roma doctor` found. */
export interface Finding {
  /** Kind of check: `permissions`, `limits`, … */
  readonly area: string;
  readonly outcome: "ok" | "warn" | "fail";
  readonly message: string;
  /** What to do, where there is something to do. */
  readonly advice?: string;
}

export interface FindingsOf {
  ok(message: string): Finding;
  warn(message: string, advice: string): Finding;
  fail(message: string, advice: string): Finding;
}

export function findings(area: string): FindingsOf {
  return {
    ok: (message) => ({ area, outcome: "ok", message }),
    warn: (message, advice) => ({ area, outcome: "warn", message, advice }),
    fail: (message, advice) => ({ area, outcome: "fail", message, advice }),
  };
}

/** `12.3 GiB`, for people. */
export function roundBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let index = 0;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${index === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[index]}`;
}

/** A file call on a mount that hangs never returns; whoever asks gets `hangs` instead. */
export async function unlessHanging<T>(call: Promise<T>, msMax = 2_000): Promise<T | "hangs"> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"hangs">((resolve) => {
    timer = setTimeout(() => resolve("hangs"), msMax);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
    call.catch(() => {});
  }
}
