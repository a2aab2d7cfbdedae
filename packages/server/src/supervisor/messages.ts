/**
 * What the supervisor and its workers say to each other, as JSON over Node's channel between a process and
 * its child. Both ends are of one version: a worker is started from the supervisor's own files.
 */
import type { Json, SiblingAnswer } from "../core/ports/siblings.ts";

/** What a worker says of itself each second: what was, when it dies without a word. */
export interface Sample {
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  readonly heapTotalBytes: number;
  /** What V8 lets the heap grow to. */
  readonly heapLimitBytes: number;
  /** Outside of V8's heap, array buffers included. */
  readonly externalBytes: number;
  readonly arrayBufferBytes: number;
  readonly connections: number;
  readonly requestsRunning: number;
  readonly uploadsRunning: number;
  /** Routes of the last requests, the newest last: `PUT /v1/objects/:bucket/*`. */
  readonly routes: readonly string[];
}

/** The first message to a worker; it starts nothing before it. */
export interface Init {
  readonly kind: "init";
  /** Names the server whose workers share a data folder: new with each supervisor. */
  readonly serverName: string;
  /** From 1; a replacement has its predecessor's. */
  readonly slot: number;
  readonly count: number;
  /** The first to be ready says where the server listens. */
  readonly greets: boolean;
}

export type ToWorker =
  | Init
  | { readonly kind: "answers"; readonly id: number; readonly answers: readonly SiblingAnswer[] }
  | { readonly kind: "unanswered"; readonly id: number; readonly reason: string }
  | {
      readonly kind: "question";
      readonly id: number;
      readonly topic: string;
      readonly question: Json;
      readonly from: string;
    }
  | {
      readonly kind: "told";
      readonly topic: string;
      readonly message: Json;
      readonly from: string;
    }
  | { readonly kind: "lead" }
  | { readonly kind: "listening"; readonly id: number; readonly port: number }
  | { readonly kind: "unheard"; readonly id: number; readonly error: ListenError }
  /** With the connection itself. */
  | { readonly kind: "connection"; readonly id: number; readonly listener: string }
  /** Leave in order: take nothing new, finish, close, exit. */
  | { readonly kind: "retire"; readonly reason: "replaced" | "stopping" }
  | { readonly kind: "dump"; readonly dump: string };

export interface ListenError {
  readonly message: string;
  readonly code: string;
  readonly syscall: string;
}

export type FromWorker =
  | { readonly kind: "hello"; readonly name: string }
  | { readonly kind: "ready" }
  | { readonly kind: "beat"; readonly sample: Sample }
  | {
      readonly kind: "ask";
      readonly id: number;
      readonly topic: string;
      readonly question: Json;
      readonly msMax: number;
      readonly of?: string;
    }
  | { readonly kind: "answer"; readonly id: number; readonly answer: Json }
  | { readonly kind: "failed"; readonly id: number; readonly reason: string }
  | { readonly kind: "tell"; readonly topic: string; readonly message: Json }
  /** Would lead, when nobody does. */
  | { readonly kind: "candidate" }
  /** Does not lead, or not any more. */
  | { readonly kind: "led" }
  | {
      readonly kind: "listen";
      readonly id: number;
      readonly listener: string;
      readonly host: string;
      readonly port: number;
    }
  | { readonly kind: "taken"; readonly id: number; readonly accepted: boolean }
  /** Will not be heard for so long, and is not to be killed for it. */
  | { readonly kind: "silent"; readonly ms: number }
  | { readonly kind: "recycle"; readonly reason: string };

/** One end of the channel. Messages arrive in order, or not at all when the other end is gone. */
export interface WorkerChannel {
  send(message: FromWorker): void;
  onMessage(handle: (message: ToWorker, handle?: unknown) => void): void;
}

/** A value of JSON's, or a fault of whoever sends it. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
