// What does the load generator do when it is asked? These tasks; each answers its own timings, taken
// with the clock of the client and without the start of its process.

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Header lines with CRLF that every request carries. */
  readonly headers: string;
  /** Requests are signed for it, with AWS V4 and an unsigned payload. */
  readonly signing?: Signing;
}

export interface Signing {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

export interface PutTask {
  readonly kind: "put";
  readonly target: Target;
  readonly path: string;
  readonly bytes: number;
  /** So many objects, one after the other, each with its number behind the path; left out: one. */
  readonly count?: number;
}

export interface GetTask {
  readonly kind: "get";
  readonly target: Target;
  readonly path: string;
  readonly bytes: number;
  /** So often; left out: once. */
  readonly count?: number;
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

/** Of what `small-puts` has put, every object once. */
export interface SmallGetsTask {
  readonly kind: "small-gets";
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

/** The same by ListObjectsV2; `path` is the bucket's. */
export interface S3PagesTask {
  readonly kind: "s3-pages";
  readonly target: Target;
  readonly path: string;
  readonly limit: number;
  readonly count: number;
}

/** An object by the AWS SDK with its own settings: PutObject, GetObject, or lib-storage's Upload. */
export interface S3SdkTask {
  readonly kind: "s3-sdk";
  readonly way: "put" | "get" | "upload";
  readonly target: Target & { readonly signing: Signing };
  /** Path of the endpoint: empty, or `/s3`. */
  readonly basePath: string;
  readonly bucket: string;
  readonly key: string;
  readonly bytes: number;
  /** As of `put` and `get`. */
  readonly count?: number;
  /** Of `upload`. */
  readonly partBytes?: number;
  readonly connections?: number;
}

/** A step of an upload in parts of equal bytes. */
export interface S3PartsTask {
  readonly kind: "s3-parts";
  readonly target: Target;
  /** Of the object. */
  readonly path: string;
  /** Left out: begins one. */
  readonly uploadId?: string;
  readonly firstNumber: number;
  readonly count: number;
  readonly partBytes: number;
  readonly connections: number;
  readonly zeros?: boolean;
}

/** Parts are numbered from 1, and all the same. */
export interface S3CompleteTask {
  readonly kind: "s3-complete";
  readonly target: Target;
  readonly path: string;
  readonly uploadId: string;
  readonly etag: string;
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
  | SmallGetsTask
  | RangesTask
  | PagesTask
  | S3PagesTask
  | S3SdkTask
  | S3PartsTask
  | S3CompleteTask
  | TusTask
  | TusTrickleTask;

export interface TaskResult {
  readonly seconds: number;
  /** Of each request, in milliseconds. */
  readonly latencies: readonly number[];
  /** Objects seen by `pages` and `s3-pages`. */
  readonly objects?: number;
  /** Of `s3-sdk`: user and system time of the client. */
  readonly clientCpuSeconds?: number;
  /** Of `s3-parts`. */
  readonly upload?: { readonly uploadId: string; readonly etag: string };
  /** Of `tus-trickle`: of each small upload before the slow ones came. */
  readonly latenciesAlone?: readonly number[];
}
