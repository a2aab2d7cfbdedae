/**
 * Connections that the supervisor accepted for this worker. A server gets them as if it had accepted
 * them itself (Node documents emitting `connection` for that), but it owns no socket that listens.
 */
import type { Server } from "node:http";
import { Socket } from "node:net";
import type { ToWorker, WorkerChannel } from "./messages.ts";

interface Listening {
  resolve(port: number): void;
  reject(error: unknown): void;
}

export class HandedConnections {
  readonly #channel: WorkerChannel;
  readonly #servers = new Map<string, Server>();
  readonly #open = new Map<Server, Set<Socket>>();
  readonly #waiting = new Map<number, Listening>();
  #lastId = 0;
  #leaving = false;
  #whenNone: (() => void) | undefined;

  constructor(channel: WorkerChannel) {
    this.#channel = channel;
    channel.onMessage((message, handle) => this.#receive(message, handle));
  }

  /** Open ones, of all listeners. */
  get count(): number {
    let sum = 0;
    for (const open of this.#open.values()) sum += open.size;
    return sum;
  }

  /**
   * Connections of the listener go to `server` from now on. Resolves with its port; rejects as
   * `server.listen` would. All workers name the same listeners.
   */
  async listen(
    server: Server,
    at: { readonly listener: string; readonly host: string; readonly port: number },
  ): Promise<number> {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#waiting.set(id, { resolve, reject });
    this.#servers.set(at.listener, server);
    // Node's server watches over its connections from this event on.
    server.emit("listening");
    this.#channel.send({ kind: "listen", id, ...at });
    return await promise;
  }

  /** No further connection is taken: what is on its way goes to another worker. */
  leave(): void {
    this.#leaving = true;
  }

  /** Resolves when what has arrived on the connections by now is read: requests that were sent in time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 2; turn++) await new Promise((done) => setImmediate(done));
  }

  /** Resolves when no connection is open, or after the bound. */
  async none(msMax: number): Promise<void> {
    if (this.count === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#whenNone = resolve;
    const late = setTimeout(resolve, msMax);
    await promise;
    clearTimeout(late);
  }

  #receive(message: ToWorker, handle: unknown): void {
    switch (message.kind) {
      case "listening":
        this.#waiting.get(message.id)?.resolve(message.port);
        this.#waiting.delete(message.id);
        return;
      case "unheard": {
        const { message: text, code, syscall } = message.error;
        this.#waiting.get(message.id)?.reject(Object.assign(new Error(text), { code, syscall }));
        this.#waiting.delete(message.id);
        return;
      }
      case "connection":
        this.#take(message, handle);
        return;
      default:
    }
  }

  #take({ id, listener }: ToWorker & { readonly kind: "connection" }, handle: unknown): void {
    const server = this.#servers.get(listener);
    // Closed by the client meanwhile: there is no handle, and nothing to be done about it.
    const socket = handle instanceof Socket ? handle : undefined;
    const accepted = server !== undefined && !this.#leaving;
    // Before anything is read from it: what was not said to be taken can be given to another.
    this.#channel.send({ kind: "taken", id, accepted });
    if (accepted && socket !== undefined) this.#serve(server, socket);
    else socket?.destroy();
  }

  #serve(server: Server, socket: Socket): void {
    const open = this.#openOf(server);
    const { maxConnections } = server;
    if (maxConnections > 0 && open.size >= maxConnections) {
      socket.destroy();
      server.emit("drop");
      return;
    }
    open.add(socket);
    socket.once("close", () => {
      open.delete(socket);
      if (this.count === 0) this.#whenNone?.();
    });
    // As an accepted one of an HTTP server: a client may close its side and read on.
    socket.allowHalfOpen = true;
    server.emit("connection", socket);
  }

  #openOf(server: Server): Set<Socket> {
    const known = this.#open.get(server);
    if (known !== undefined) return known;
    const made = new Set<Socket>();
    this.#open.set(server, made);
    return made;
  }
}
