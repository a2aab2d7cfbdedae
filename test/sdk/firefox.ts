/** Firefox as Debian has it, driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/): one tab. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { eventually } from "../harness/process-usage.ts";
import { temporaryFolder } from "../harness/server-process.ts";
import type { PageState, PageUpload } from "./page.ts";

interface Answer {
  readonly id?: number;
  readonly type: "success" | "error" | "event";
  readonly message?: string;
  readonly result?: Readonly<Record<string, unknown>>;
}

export class Firefox {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #count = 0;
  #context = "";

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const answer = JSON.parse(String(data)) as Answer;
      if (answer.id !== undefined) this.#waiting.get(answer.id)?.(answer);
    });
  }

  /** A browser of its own, ended after the test. */
  static async start(t: TestContext): Promise<Firefox> {
    const profile = await temporaryFolder(t);
    const flags = ["--headless", "--no-remote", "--profile", profile];
    const child = spawn("firefox-esr", [...flags, "--remote-debugging-port", "0"], {
      env: { ...process.env, HOME: profile },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const exited = once(child, "exit");
    cleanUp(t, async () => {
      child.kill("SIGTERM");
      await exited;
    });
    const said: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      said.push(line);
      const [, address] = /WebDriver BiDi listening on (ws:\S+)/.exec(line) ?? [];
      if (address === undefined) continue;
      child.stderr.resume();
      const socket = new WebSocket(`${address}/session`);
      await once(socket, "open");
      const firefox = new Firefox(socket);
      await firefox.#send("session.new", { capabilities: {} });
      const { contexts } = await firefox.#send("browsingContext.getTree", {});
      const [tab] = contexts as readonly { readonly context: string }[];
      assert(tab !== undefined);
      firefox.#context = tab.context;
      return firefox;
    }
    throw new Error(`Firefox ended before it listened\n${said.join("\n")}`);
  }

  /** Loads the tests' page, again if it is there. */
  async open(url: string): Promise<void> {
    const context = this.#context;
    await this.#send("browsingContext.navigate", { context, url, wait: "complete" });
    await eventually(
      "the page is loaded",
      async () => {
        return (await this.#evaluate("document.title")) === "ready";
      },
      60_000,
    );
  }

  /** Of the page's functions; what it gives must be JSON. */
  async call<T>(name: string, argument: unknown): Promise<T> {
    return (await this.#evaluate(`page.${name}(${JSON.stringify(argument)})`)) as T;
  }

  begin(upload: PageUpload): Promise<void> {
    return this.call("begin", upload);
  }

  /** Waits until the upload has come so far. */
  async reach(what: string, holds: (state: PageState) => boolean): Promise<PageState> {
    let last: PageState | undefined;
    await eventually(
      what,
      async () => {
        last = await this.call<PageState>("look", null);
        if (last.error !== undefined) throw new Error(last.error);
        return holds(last);
      },
      300_000,
    );
    assert(last !== undefined);
    return last;
  }

  async #evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.#send("script.evaluate", {
      expression: `Promise.resolve(${expression}).then((value) => JSON.stringify(value ?? null))`,
      target: { context: this.#context },
      awaitPromise: true,
    });
    const { value } = (result ?? {}) as { readonly value?: string };
    if (value === undefined) throw new Error(JSON.stringify(exceptionDetails));
    return JSON.parse(value) as unknown;
  }

  async #send(method: string, params: object): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#count;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
    this.#waiting.delete(id);
    if (answer.type !== "success") throw new Error(`${method}: ${answer.message}`);
    return answer.result ?? {};
  }
}
