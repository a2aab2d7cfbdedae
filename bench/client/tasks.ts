// What does the load generator do when it is asked? These tasks; each answers its own timings, taken
// with the clock of the client and without the start of its process.

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Header lines with CRLF that every request carries. */
  readonly headers: string;
}

export interface PutTask {
  readonly kind: "put";
  readonly target: Target;
  readonly path: string;
  readonly bytes: number;
}

export interface GetTask {
  readonly kind: "get";
  readonly target: Target;
  readonly path: string;
  readonly bytes: number;
}

/** Every connection sends its next PUT when the last was answered; keys are all different. */
export interface SmallPutsTask {
  readonly kind: "small-puts";
  readonly target: Target;
  readonly pathStart: string;
  readonly connections: number;
  readonly count: number;
  readonly bytes: number;
}

/** One connection, one request after the other, offsets all over the object. */
export interface RangesTask {
  readonly kind: "ranges";
  readonly target: Target;
  readonly path: string;
  readonly objectBytes: number;
  readonly count: number;
}

/** Follows the cursor from the first page; at the end it begins again. */
export interface PagesTask {
  readonly kind: "pages";
  readonly target: Target;
  readonly path: string;
  readonly limit: number;
  readonly count: number;
}

/** Every connection makes its next upload when the last is complete. */
export interface TusTask {
  readonly kind: "tus";
  readonly target: Target;
  /** Where uploads are made. */
  readonly path: string;
  readonly connections: number;
  readonly count: number;
  /** Of each upload. */
  readonly bytes: number;
  /** A POST and a PATCH with all bytes, or one POST that brings them. */
  readonly way: "post-then-patch" | "post-with-bytes";
  /** Of each connection; left out: as fast as it goes. */
  readonly bytesPerSecond?: number;
}

/** Small uploads, one after the other: first alone, then beside PATCHes that trickle. */
export interface TusTrickleTask {
  readonly kind: "tus-trickle";
  readonly target: Target;
  readonly path: string;
  readonly slow: number;
  /** Of each slow one. */
  readonly bytesPerSecond: number;
  readonly seconds: number;
  /** Of each small upload. */
  readonly bytes: number;
}

export type Task =
  | PutTask
  | GetTask
  | SmallPutsTask
  | RangesTask
  | PagesTask
  | TusTask
  | TusTrickleTask;

export interface TaskResult {
  readonly seconds: number;
  /** Of each request, in milliseconds. */
  readonly latencies: readonly number[];
  /** Objects seen by `pages`. */
  readonly objects?: number;
  /** Of `tus-trickle`: of each small upload before the slow ones came. */
  readonly latenciesAlone?: readonly number[];
}
