/** What a command works with: the terminal it was started in, its server, and how it may be ended. */
import type { Readable, Writable } from "node:stream";
import type { Administration, Roma } from "@roma/sdk/node";
import type { Command } from "commander";
import { type Connection, findConnection } from "./connection.ts";
import { describeFailure, Failures } from "./failure.ts";
import { meantEnvironment } from "./meant-environment.ts";

/** The process, or what stands for it. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Ends what is under way and has it clean up. */
  readonly signal: AbortSignal;
}

export interface GlobalFlags {
  readonly endpoint?: string;
  readonly key?: string;
  readonly env?: string;
}

/** One run of the command line. */
export class Context {
  readonly terminal: Terminal;
  readonly failures = new Failures();
  #client: Roma | undefined;
  #anonymous = false;

  constructor(terminal: Terminal) {
    this.terminal = terminal;
  }

  get signal(): AbortSignal {
    return this.terminal.signal;
  }

  /** A line on stdout. Resolves when there is room for the next, so a slow reader is waited for. */
  async print(line: string): Promise<void> {
    await this.#drained(this.terminal.stdout.write(`${line}\n`));
  }

  async #drained(hasRoom: boolean): Promise<void> {
    const { stdout } = this.terminal;
    if (hasRoom) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        for (const event of ["drain", "close", "error"]) stdout.off(event, done);
        resolve();
      };
      for (const event of ["drain", "close", "error"]) stdout.once(event, done);
    });
  }

  /** Bytes on stdout, as they are; waits as `print` does. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#drained(this.terminal.stdout.write(bytes));
  }

  /** One JSON value on a line of stdout. */
  printJson(value: unknown): Promise<void> {
    return this.print(JSON.stringify(value));
  }

  /** A line on stderr. */
  note(line: string): void {
    this.terminal.stderr.write(`${line}\n`);
  }

  /** Reports a failed item and goes on; the exit code will show it. */
  fail(error: unknown, item?: string): void {
    this.failures.add(error);
    this.note(`roma: ${item === undefined ? "" : `${item}: `}${describeFailure(error)}`);
  }

  /** Where the server is and what opens it. */
  connection(command: Command): Promise<Connection> {
    const { env, cwd } = this.terminal;
    return findConnection({ flags: command.optsWithGlobals<GlobalFlags>(), env, cwd });
  }

  /** What is not about objects, with this run's client. */
  async administration(command: Command): Promise<Administration> {
    const client = await this.client(command);
    const { Administration } = await import("@roma/sdk/node");
    return new Administration(client);
  }

  /** The client of this run; the run closes it. `resume`: it remembers unfinished uploads of files. */
  async client(
    command: Command,
    { resume = false }: { readonly resume?: boolean } = {},
  ): Promise<Roma> {
    this.#client ??= await this.connect(command, { resume });
    return this.#client;
  }

  /** A client of its own, which the caller closes. */
  async connect(
    command: Command,
    { resume = false }: { readonly resume?: boolean } = {},
  ): Promise<Roma> {
    const { endpoint, credential } = await this.connection(command);
    this.#anonymous = credential === undefined;
    const { defaultStateFolder, Roma } = await import("@roma/sdk/node");
    return new Roma({
      endpoint: endpoint.value,
      token: credential?.value,
      // How many go at once is for `--parallel` to say.
      uploadsMax: 256,
      resume: resume && defaultStateFolder(this.terminal.env),
      environment: meantEnvironment(command.optsWithGlobals<GlobalFlags>(), this.terminal.env),
    });
  }

  /** Whether requests went out without a key. */
  get anonymous(): boolean {
    return this.#anonymous;
  }

  close(): void {
    this.#client?.close();
  }
}
