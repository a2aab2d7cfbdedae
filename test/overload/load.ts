/**
 * Clients that put small objects without end, in a process of their own; told to wait they wait. Run as a program
 * with a `Load` as JSON; prints one line of JSON when its time is over. `runLoad` starts it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

export interface Load {
  readonly url: string;
  readonly authorization: string;
  /** Objects are put under it. */
  readonly path: string;
  readonly clients: number;
  readonly bytes: number;
  readonly ms: number;
  /** A client that was told to come back does so after this at most, whatever it was told. */
  readonly waitMsMax: number;
}

export interface LoadResult {
  /** Answered with success, a second. */
  readonly goodput: number;
  readonly refused: number;
  /** Answers that were neither success nor a refusal with `Retry-After`. */
  readonly odd: readonly string[];
  /** Milliseconds until answers of 503, sorted. */
  readonly refusalMs: readonly number[];
  /** Of those that succeeded, sorted. */
  readonly successMs: readonly number[];
}

/** Rejects when the clients could not run. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const child = spawn(process.execPath, [import.meta.filename, JSON.stringify(load)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the load ended with code ${code}`);
  const result: LoadResult = JSON.parse(text);
  return result;
}

interface Tally {
  good: number;
  refused: number;
  readonly odd: string[];
  readonly refusalMs: number[];
  readonly successMs: number[];
}

async function client(load: Load, index: number, tally: Tally): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const body = Buffer.alloc(load.bytes, "x");
  const until = performance.now() + load.ms;
  // Clients do not all begin in one moment.
  await delay(Math.random() * 200);
  for (let count = 0; performance.now() < until; count++) {
    const startedAt = performance.now();
    const answer = await put(load, agent, { path: `${load.path}${index}-${count}`, body });
    const ms = performance.now() - startedAt;
    if (answer.status === 201) {
      if (performance.now() < until) tally.good += 1;
      tally.successMs.push(ms);
    } else if (answer.status === 503 && answer.retryAfter !== undefined) {
      tally.refused += 1;
      tally.refusalMs.push(ms);
      await delay(Math.min(Number(answer.retryAfter) * 1000, load.waitMsMax));
    } else if (tally.odd.length < 10) {
      tally.odd.push(`${answer.status} ${answer.text}`);
    }
  }
  agent.destroy();
}

interface PutAnswer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly text: string;
}

function put(
  { url, authorization }: Load,
  agent: Agent,
  { path, body }: { readonly path: string; readonly body: Buffer },
): Promise<PutAnswer> {
  return new Promise((resolve) => {
    const failed = (error: Error): void =>
      resolve({ status: 0, retryAfter: undefined, text: error.message });
    const headers = { authorization, "content-length": body.length };
    const sent = request(`${url}${path}`, { method: "PUT", agent, headers });
    sent.on("error", failed);
    sent.on("response", (response) => {
      const status = response.statusCode ?? 0;
      const retryAfter = response.headers["retry-after"];
      response.on("error", failed).on("end", () => resolve({ status, retryAfter, text: "" }));
      response.resume();
    });
    sent.end(body);
  });
}

if (import.meta.main) {
  const load: Load = JSON.parse(process.argv[2] ?? "");
  const tally: Tally = { good: 0, refused: 0, odd: [], refusalMs: [], successMs: [] };
  await Promise.all(Array.from({ length: load.clients }, (_, index) => client(load, index, tally)));
  const sorted = (values: readonly number[]) => values.toSorted((one, other) => one - other);
  const result: LoadResult = {
    goodput: (tally.good * 1000) / load.ms,
    refused: tally.refused,
    odd: tally.odd,
    refusalMs: sorted(tally.refusalMs),
    successMs: sorted(tally.successMs),
  };
  process.stdout.write(JSON.stringify(result));
}
