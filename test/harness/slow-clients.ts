/**
 * Many slow clients in a process of their own, so that their memory and work are not the server's.
 * Run as a program with one argument, a `SlowClients` as JSON; prints one line of JSON, what became
 * of them, when the last has ended. `runSlowClients` starts it from a test.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export interface SlowClients {
  /** `append`: bytes for resumable uploads over tus, one for each client, from their beginning. */
  readonly kind: "upload" | "append" | "download";
  readonly url: string;
  readonly authorization: string;
  /** Path of an upload gets a number at its end; a download's is taken as it is. */
  readonly path?: string;
  /** Of appends. */
  readonly paths?: readonly string[];
  readonly count: number;
  /** Announced by each upload. */
  readonly length: number;
  /** Of each client, while it is slow. */
  readonly bytesPerSecond: number;
  /** Left out: ten times a second. */
  readonly tickMs?: number;
  /** At most, where somebody says before that it is enough. */
  readonly slowMs: number;
  /** Of all together, however long they are slow for it: a busy machine has them do less in a time. */
  readonly bytesMin?: number;
  /** As many then go on at full speed to the end; the others leave. */
  readonly completed: number;
}

export interface SlowClientsResult {
  /** Connections whose server had taken or given bytes at the end of the slow time. */
  readonly active: number;
  readonly bytes: number;
  /** Status lines of those that went on to the end. */
  readonly statuses: readonly number[];
}

const tickMsDefault = 100;
/** For what hangs. */
const bytesMsMax = 120_000;

/** They stop being slow when the signal is aborted, or when their time is over. */
export async function runSlowClients(
  clients: SlowClients,
  enough?: AbortSignal,
): Promise<SlowClientsResult> {
  const child = spawn(process.execPath, [import.meta.filename, JSON.stringify(clients)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => {});
  if (enough?.aborted === true) child.stdin.end();
  enough?.addEventListener("abort", () => child.stdin.end(), { once: true });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the slow clients ended with code ${code}`);
  const result: SlowClientsResult = JSON.parse(text);
  return result;
}

const piece = Buffer.alloc(1024 * 1024, "slow bytes ");

const methods = { upload: "PUT", append: "PATCH", download: "GET" } as const;
const appendHead = [
  "tus-resumable: 1.0.0",
  "upload-offset: 0",
  "content-type: application/offset+octet-stream",
];

function pathOf({ kind, path = "", paths = [] }: SlowClients, index: number): string {
  if (kind === "append") return paths[index] ?? "";
  return kind === "upload" ? `${path}${index}` : path;
}

class Client {
  readonly #socket: Socket;
  readonly #options: SlowClients;
  #head = "";
  #closed = false;
  bytes = 0;

  constructor(options: SlowClients, socket: Socket, index: number) {
    this.#socket = socket;
    this.#options = options;
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#closed = true;
    });
    const isSender = options.kind !== "download";
    const head = [
      `${methods[options.kind]} ${pathOf(options, index)} HTTP/1.1`,
      `host: ${new URL(options.url).host}`,
      `authorization: ${options.authorization}`,
      "connection: close",
      ...(options.kind === "append" ? appendHead : []),
      ...(isSender ? [`content-length: ${options.length}`] : []),
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    if (isSender) {
      socket.on("data", (chunk) => {
        this.#head += chunk.toString("latin1");
      });
    }
  }

  get active(): boolean {
    return !this.#closed && this.bytes > 0;
  }

  get status(): number {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.#head)?.[1] ?? 0);
  }

  /** Takes or gives at most so many bytes. */
  step(bytesMax: number): void {
    if (this.#closed) return;
    if (this.#options.kind !== "download") {
      if (this.#socket.writableNeedDrain) return;
      this.#socket.write(piece.subarray(0, bytesMax));
      this.bytes += bytesMax;
      return;
    }
    let left = bytesMax;
    while (left > 0) {
      // Asking for nothing makes the socket fetch what the kernel has.
      const wanted = Math.min(left, this.#socket.readableLength);
      const chunk: Buffer | null = this.#socket.read(wanted);
      if (chunk === null) return;
      if (this.#head === "") this.#head = chunk.toString("latin1", 0, 32);
      this.bytes += chunk.length;
      left -= chunk.length;
    }
  }

  async complete(): Promise<void> {
    const socket = this.#socket;
    const closed = this.#closed ? Promise.resolve() : once(socket, "close");
    if (this.#options.kind === "download") {
      socket.on("data", (chunk) => {
        this.bytes += chunk.length;
      });
    } else {
      while (!this.#closed && this.bytes < this.#options.length) {
        const part = piece.subarray(0, Math.min(piece.length, this.#options.length - this.bytes));
        this.bytes += part.length;
        if (!socket.write(part)) await Promise.race([once(socket, "drain"), closed]);
      }
    }
    await closed;
  }

  leave(): void {
    this.#socket.destroy();
  }
}

async function main(options: SlowClients): Promise<SlowClientsResult> {
  const { hostname, port } = new URL(options.url);
  const clients = await Promise.all(
    Array.from({ length: options.count }, async (_, index) => {
      const socket = connect({ host: hostname, port: Number(port) });
      await once(socket, "connect");
      return new Client(options, socket, index);
    }),
  );
  const { tickMs = tickMsDefault, bytesMin = 0 } = options;
  const bytesPerTick = Math.ceil((options.bytesPerSecond * tickMs) / 1000);
  const bytes = (): number => clients.reduce((sum, client) => sum + client.bytes, 0);
  let isEnough = false;
  process.stdin.on("end", () => {
    isEnough = true;
  });
  process.stdin.resume();
  const until = performance.now() + options.slowMs;
  const isOver = (): boolean => {
    const leftMs = until - performance.now();
    return isEnough || leftMs < -bytesMsMax || (leftMs <= 0 && bytes() >= bytesMin);
  };
  while (!isOver()) {
    for (const client of clients) client.step(bytesPerTick);
    await delay(tickMs);
  }
  process.stdin.destroy();
  const active = clients.filter((client) => client.active).length;
  const [going, leaving] = [clients.slice(0, options.completed), clients.slice(options.completed)];
  for (const client of leaving) client.leave();
  await Promise.all(going.map((client) => client.complete()));
  return {
    active,
    bytes: bytes(),
    statuses: going.map(({ status }) => status),
  };
}

if (import.meta.main) {
  const options: SlowClients = JSON.parse(process.argv[2] ?? "");
  process.stdout.write(JSON.stringify(await main(options)));
}
