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

export type Task = PutTask | GetTask | SmallPutsTask | RangesTask | PagesTask;

export interface TaskResult {
  readonly seconds: number;
  /** Of each request, in milliseconds. */
  readonly latencies: readonly number[];
  /** Objects seen by `pages`. */
  readonly objects?: number;
}
