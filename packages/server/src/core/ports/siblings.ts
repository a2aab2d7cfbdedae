/**
 * The other workers of this server: processes that share its data folder, stores and storages, each with
 * its own event loop. What one keeps in its memory the others do not see, so whoever relies on such
 * memory (which blobs are being read, who writes an upload) asks here. Messages are plain JSON.
 */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [name: string]: Json };

export interface SiblingAnswer {
  /** The worker that answered, as it calls itself. */
  readonly from: string;
  readonly answer: Json;
}

export interface Siblings {
  /** Names this worker among all that ever ran on this data: new with each start of a process. */
  readonly self: string;
  /** Workers of this server when all are up, this one included; at least 1. */
  readonly count: number;
  /**
   * Asks the other live workers, or only `of`. One answer for each; none of a worker that is dead, or
   * dies before it answers. Rejects with `unavailable` when one that lives has not answered within
   * `msMax`, or its handler failed: nothing may be concluded of its silence.
   */
  ask(
    topic: string,
    question: Json,
    options: { readonly msMax: number; readonly of?: string },
  ): Promise<readonly SiblingAnswer[]>;
  /** Tells all other live workers, without waiting. Lost with a worker that dies. */
  tell(topic: string, message: Json): void;
  /** What this worker does with a question or message; one handler for each topic. Before that, `null`. */
  on(topic: string, handle: (message: Json, from: string) => Json | Promise<Json>): void;
  /**
   * Has `task` run in one worker at a time, here now or later. `signal` is aborted when this worker begins to
   * stop; another worker begins once the promise has settled, or the process is gone. Must not reject.
   */
  lead(task: (signal: AbortSignal) => Promise<void>): void;
}

/** Of a server that is one process. */
export function noSiblings(): Siblings {
  return {
    self: "only",
    count: 1,
    ask: async () => [],
    tell() {},
    on() {},
    lead(task) {
      void task(new AbortController().signal);
    },
  };
}
