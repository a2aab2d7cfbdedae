/**
 * Kills a server at each step of a scenario in turn, starts it again on the same data, and looks for
 * what was promised. A step is one call of one thread that changes a file or answers a client. The
 * n-th call of each kind is tried for n = 1, 2, … until the scenario completes unharmed.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { TestContext } from "node:test";
import {
  assertMetadataSound,
  assertNothingLeftOver,
  readObjectKeys,
} from "../harness/data-folder.ts";
import { type Answer, get, listKeys, put } from "../harness/http-client.ts";
import { listThreads } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { attachTracer, readSteps } from "../harness/tracer.ts";

/** What a reader may find under a key; `undefined` is absent. */
export type Content = Buffer | undefined;

export interface Scenario {
  readonly name: string;
  readonly flags?: readonly string[];
  /** Left out: all. The main thread never rests where the sweeper's interval is short. */
  readonly threads?: readonly ThreadName[];
  /** No object is kept through all rounds: the storage may become empty. */
  readonly keepsNothing?: boolean;
  /** As many kill points there are at least; fewer means that the loop looked at nothing. */
  readonly killsMin: number;
  /** Brings about the state before, by acknowledged calls. */
  prepare(round: Round): Promise<void>;
  /** What is interrupted. Rejects when the connection breaks. */
  run(round: Round): Promise<void>;
  /** Of the metadata's writes, each so-manieth kills; left out: `metadataStride`. */
  readonly stride?: number;
  /** What a client does after `run`, whatever became of it, before the data is looked at. */
  recover?(round: Round): Promise<void>;
  /** Beyond old or new for each key. */
  check?(found: ReadonlyMap<string, Content>, round: Round): void;
}

/** Which makes the calls on the storage, which those on the metadata, and which answers. */
export type ThreadName = "pool" | "writer" | "main";

/** Thrown by `run` where what it is about was over before the tracer was there: another round is tried. */
export class TooLate extends Error {}

/** One run of a scenario, with keys of its own, and what it was promised. */
export class Round {
  readonly server: ServerProcess;
  readonly number: number;
  readonly #allowed = new Map<string, Content[]>();

  constructor(server: ServerProcess, number: number) {
    this.server = server;
    this.number = number;
  }

  get allowed(): ReadonlyMap<string, readonly Content[]> {
    return this.#allowed;
  }

  key(name: string): string {
    return `${name}-${this.number}`;
  }

  /** An acknowledged put: from here on these bytes and no others. */
  async stored(key: string, bytes: Buffer): Promise<void> {
    const answer = await put(this.server, key, bytes);
    assert.ok(answer.status === 200 || answer.status === 201, `${answer.status} ${answer.body}`);
    this.#allowed.set(key, [bytes]);
  }

  /** Sends a change: until it is acknowledged each key may be as before or as after it. */
  async change(
    after: Readonly<Record<string, Content>>,
    send: () => Promise<Answer>,
  ): Promise<void> {
    for (const [key, content] of Object.entries(after)) {
      const before = this.#allowed.get(key) ?? [undefined];
      this.#allowed.set(key, [...before, content]);
    }
    const answer = await send();
    assert.ok(answer.status >= 200 && answer.status < 300, `${answer.status} ${answer.body}`);
    for (const [key, content] of Object.entries(after)) this.#allowed.set(key, [content]);
  }
}

/** Bytes that no two calls share, so that a mix is seen. */
export function taggedBytes(tag: string, length: number): Buffer {
  return Buffer.alloc(length, `${tag}|`);
}

/** Where a call is looked for: the thread's name, and the calls that leave a trace. */
interface Series {
  readonly thread: ThreadName;
  readonly syscalls: readonly string[];
}

const fileSyscalls = [
  ...["write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate"],
  ...["fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat"],
  ...["unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"],
];
const socketSyscalls = ["write", "writev", "sendto", "sendmsg"];

const series: readonly Series[] = [
  { thread: "pool", syscalls: fileSyscalls },
  { thread: "writer", syscalls: fileSyscalls },
  { thread: "main", syscalls: socketSyscalls },
];

const killsOfOneCallMax = 60;

/**
 * Of the writes that SQLite makes in one transaction none counts before the sync after them, so a run
 * looks at some of them. TEST_CRASH_STRIDE=1 looks at each.
 */
const metadataStride = Number(process.env.TEST_CRASH_STRIDE ?? 9);

/** Runs the whole loop; says how many kills there were. */
export async function killAtEachStep(t: TestContext, scenario: Scenario): Promise<void> {
  const server = await startServer(t, {
    flags: [
      "--blob-grace",
      "0 ms",
      "--trash-keep",
      "0 s",
      "--sweeper-interval",
      "1 day",
      ...(scenario.flags ?? []),
    ],
    // The n-th call is counted in each thread, so one thread must make them all.
    environment: { UV_THREADPOOL_SIZE: "1" },
  });
  const kept = taggedBytes("kept", 100_000);
  const rounds = { count: 0 };
  const nextRound = () => new Round(server, ++rounds.count);
  const keeps = scenario.keepsNothing !== true;
  if (keeps) await nextRound().stored("kept", kept);

  const kills: string[] = [];
  for (const { thread, syscalls } of series) {
    if (scenario.threads?.includes(thread) === false) continue;
    for (const syscall of await findCalls(nextRound, scenario, { thread, syscalls })) {
      const step =
        thread === "writer" && /write/.test(syscall) ? (scenario.stride ?? metadataStride) : 1;
      for (let count = 1; ; count += step) {
        assert.ok(count <= killsOfOneCallMax * step, `${syscall} is called again and again`);
        const { round, killed } = await runAndKill(nextRound, scenario, { thread, syscall, count });
        const what = `after a kill at ${syscall} ${count} of the ${thread} thread`;
        try {
          await scenario.recover?.(round);
        } catch (cause) {
          throw new Error(`not recovered ${what}`, { cause });
        }
        await checkRound(round, scenario, killed ? what : "");
        if (!killed) break;
        kills.push(`${thread}:${syscall}:${count}`);
      }
    }
  }
  t.diagnostic(`${kills.length} kills: ${kills.join(" ")}`);
  assert.ok(kills.length >= scenario.killsMin, `${kills.length} kills: ${kills.join(" ")}`);
  if (keeps) assert.deepEqual((await get(server, "kept")).body, kept);
  await server.kill();
  assertMetadataSound(server.data);
}

/** The kinds of calls that the thread makes in the scenario, from a run without a kill. */
async function findCalls(
  nextRound: () => Round,
  scenario: Scenario,
  wanted: Series,
): Promise<string[]> {
  const round = nextRound();
  const { server } = round;
  await scenario.prepare(round);
  const output = join(server.data, "trace");
  const id = await threadId(server, wanted.thread);
  const tracer = await attachTracer({ id, threads: "one", syscalls: wanted.syscalls, output });
  try {
    await scenario.run(round);
  } catch (error) {
    if (!(error instanceof TooLate)) throw error;
    await tracer.detach();
    return await findCalls(nextRound, scenario, wanted);
  }
  await tracer.detach();
  await scenario.recover?.(round);
  const found = new Set<string>();
  for (const step of await readSteps(output)) {
    // Wakes another thread, or is a line of the log, which the pool writes: nothing outside is changed by it.
    const isNothing =
      wanted.thread === "main" ? /<anon_inode:|<pipe:/ : /<anon_inode:|<pipe:|<socket:/;
    if (!isNothing.test(step.arguments)) found.add(step.syscall);
  }
  return [...found];
}

async function runAndKill(
  nextRound: () => Round,
  scenario: Scenario,
  at: { readonly thread: ThreadName; readonly syscall: string; readonly count: number },
): Promise<{ readonly round: Round; readonly killed: boolean }> {
  const round = nextRound();
  const { server } = round;
  await scenario.prepare(round);
  const id = await threadId(server, at.thread);
  server.expectEnd();
  const tracer = await attachTracer({
    id,
    threads: "one",
    syscalls: [at.syscall],
    killAt: at,
  });
  try {
    await scenario.run(round);
  } catch (error) {
    // The client sees a reset; what it must not see is an answer that says otherwise.
    if (error instanceof assert.AssertionError) throw error;
    if (error instanceof TooLate) {
      await tracer.detach();
      if (await answers(server)) return await runAndKill(nextRound, scenario, at);
    }
    await server.exited;
  }
  await tracer.detach();
  if (await answers(server)) return { round, killed: false };
  await server.exited;
  await server.start();
  return { round, killed: true };
}

/** Asked after the tracer has let go: who answers now is not killed any more. */
async function answers(server: ServerProcess): Promise<boolean> {
  if (!server.running) return false;
  return await listKeys(server).then(
    () => true,
    () => false,
  );
}

async function checkRound(round: Round, scenario: Scenario, what: string): Promise<void> {
  const { server } = round;
  const found = new Map<string, Content>();
  for (const [key, allowed] of round.allowed) {
    const answer = await get(server, key);
    assert.ok(answer.status === 200 || answer.status === 404, `${key}: ${answer.status} ${what}`);
    const content = answer.status === 200 ? answer.body : undefined;
    const fits = allowed.some((one) =>
      one === undefined ? content === undefined : content?.equals(one),
    );
    assert.ok(fits, `${key} is neither old nor new ${what}`);
    found.set(key, content);
  }
  scenario.check?.(found, round);
  const present = [...found].filter(([, content]) => content !== undefined).map(([key]) => key);
  const listed = await listKeys(server);
  const ofRound = listed.filter((key) => key.endsWith(`-${round.number}`));
  assert.deepEqual(ofRound, present.toSorted(), `the list shows what can be read ${what}`);
  assert.deepEqual(readObjectKeys(server.data), listed, `the rows are those of the list ${what}`);
  // Without a kill there was no start whose sweep could have removed what was replaced.
  if (what !== "") await assertNothingLeftOver(server.data, what);
}

async function threadId(server: ServerProcess, thread: ThreadName): Promise<number> {
  if (thread === "main") return server.pid;
  const pattern = thread === "pool" ? /^libuv-worker/ : /writer/;
  const threads = await listThreads(server.pid);
  const matching = threads.filter(({ id, name }) => id !== server.pid && pattern.test(name));
  const [only, ...others] = matching;
  assert.ok(
    only !== undefined && others.length === 0,
    `one thread ${pattern}: ${JSON.stringify(threads)}`,
  );
  return only.id;
}
