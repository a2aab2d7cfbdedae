/**
 * The supervisor's listening sockets. It accepts and hands each connection to a worker, unread: workers
 * own no listening socket, so a worker that cannot die keeps no port, and connections that come while
 * the only one is replaced wait for its successor instead of being refused (`node:cluster` closes the
 * socket with its last worker). Nothing here looks at a byte.
 */
import { createServer, type Server, type Socket } from "node:net";

/** Accepted and without a worker; more are closed. */
const waitingMax = 1_024;
/** A connection without a worker is closed: a client that knows tries again, or elsewhere. */
const waitMsMax = 10_000;

/** A worker, as far as it takes connections. */
export interface Taker {
  /** False when it cannot be reached. */
  give(connection: { readonly id: number; readonly listener: string }, socket: Socket): boolean;
}

interface Waiting {
  readonly socket: Socket;
  readonly sinceMs: number;
}

/** On its way. A worker has one at most: so few are in doubt when it dies. */
interface Handed {
  readonly id: number;
  readonly socket: Socket;
  readonly listener: Listener;
}

interface Listener {
  readonly name: string;
  readonly server: Server;
  readonly port: Promise<number>;
  /** In turn: the first is next. */
  readonly takers: Set<Taker>;
  readonly waiting: Waiting[];
}

export class Listeners {
  readonly #listeners = new Map<string, Listener>();
  readonly #handed = new Map<Taker, Handed>();
  readonly #now: () => number;
  #lastId = 0;
  #closed = false;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Resolves with the port once connections of `name` are accepted, for this worker too from then on.
   * The first worker that asks has the socket opened, and gets its failure; the others share it.
   */
  async open(
    name: string,
    { host, port }: { readonly host: string; readonly port: number },
    taker: Taker,
  ): Promise<number> {
    const listener = this.#listeners.get(name) ?? this.#listen(name, { host, port });
    const given = await listener.port;
    listener.takers.add(taker);
    this.#distribute(listener);
    return given;
  }

  /** Nothing more for this worker; what is on its way there it takes, or refuses. */
  leave(taker: Taker): void {
    for (const { takers } of this.#listeners.values()) takers.delete(taker);
  }

  /**
   * It is dead. A worker says that it has a connection before it reads from it; so with `all` its words
   * heard, what it has not answered for is unread, and another can serve it. Else nobody can.
   */
  drop(taker: Taker, { all }: { readonly all: boolean }): void {
    this.leave(taker);
    const handed = this.#handed.get(taker);
    if (handed === undefined) return;
    this.#handed.delete(taker);
    if (all) this.#again(handed);
    // The dead one may have it as well, for as long as it is there: closed here, it would stay open.
    else handed.socket.destroySoon();
  }

  /** The worker's answer: it has the connection, or leaves and wants none. */
  taken(taker: Taker, { id, accepted }: { readonly id: number; readonly accepted: boolean }): void {
    const handed = this.#handed.get(taker);
    if (handed?.id !== id) return;
    this.#handed.delete(taker);
    if (accepted) handed.socket.destroy();
    else this.#again(handed);
    for (const each of this.#listeners.values()) this.#distribute(each);
  }

  /** Closes what has waited too long. To be called now and then. */
  tidy(): void {
    const oldestMs = this.#now() - waitMsMax;
    for (const { waiting } of this.#listeners.values()) {
      while ((waiting[0]?.sinceMs ?? Number.POSITIVE_INFINITY) < oldestMs) {
        waiting.shift()?.socket.destroy();
      }
    }
  }

  /** No connection is accepted from here on. Those that were still go to workers, who may close them. */
  stop(): void {
    this.#closed = true;
    for (const listener of this.#listeners.values()) {
      listener.server.close();
      for (const { socket } of listener.waiting.splice(0)) {
        const [taker] = listener.takers;
        // Nobody waits for the answer any more.
        taker?.give({ id: ++this.#lastId, listener: listener.name }, socket);
      }
    }
  }

  /** After `stop`, and when no worker is left. */
  close(): void {
    this.stop();
    for (const { socket } of this.#handed.values()) socket.destroy();
    this.#handed.clear();
  }

  #again({ socket, listener }: Handed): void {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    listener.waiting.unshift({ socket, sinceMs: this.#now() });
    this.#distribute(listener);
  }

  #listen(name: string, at: { readonly host: string; readonly port: number }): Listener {
    const server = createServer({ pauseOnConnect: true, noDelay: true });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const listener = { name, server, port: promise, takers: new Set<Taker>(), waiting: [] };
    this.#listeners.set(name, listener);
    server.once("error", (error) => {
      // Another worker, later, may try again.
      this.#listeners.delete(name);
      reject(error);
    });
    server.listen(at, () => {
      server.removeAllListeners("error");
      // Too many descriptors, as a rule: what waits in the kernel is accepted later.
      server.on("error", () => {});
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : at.port);
    });
    server.on("connection", (socket) => this.#accept(listener, socket));
    return listener;
  }

  #accept(listener: Listener, socket: Socket): void {
    socket.on("error", () => {});
    // Or Node counts it among this server's for as long as the worker has it.
    Reflect.set(socket, "server", null);
    if (this.#closed || listener.waiting.length >= waitingMax) {
      socket.destroy();
      return;
    }
    listener.waiting.push({ socket, sinceMs: this.#now() });
    this.#distribute(listener);
  }

  #distribute(listener: Listener): void {
    while (listener.waiting.length > 0) {
      const taker = this.#next(listener);
      if (taker === undefined) return;
      const next = listener.waiting.shift();
      if (next === undefined) return;
      const id = ++this.#lastId;
      if (taker.give({ id, listener: listener.name }, next.socket)) {
        this.#handed.set(taker, { id, socket: next.socket, listener });
      } else {
        listener.waiting.unshift(next);
        this.leave(taker);
      }
    }
  }

  #next({ takers }: Listener): Taker | undefined {
    for (const taker of takers) {
      if (this.#handed.has(taker)) continue;
      takers.delete(taker);
      takers.add(taker);
      return taker;
    }
    return undefined;
  }
}
