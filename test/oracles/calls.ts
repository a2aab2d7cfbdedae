// The calls that a vendor's SDK and our driver are both asked for. Whoever implements them makes exactly
// one request of the kind named, besides any that only look.

export const callNames = [
  "put",
  "get",
  "head",
  "delete",
  "list",
  "create",
  "writePart",
  "complete",
  "abort",
  "presignedGet",
  "presignedPut",
] as const;
export type CallName = (typeof callNames)[number];

/** The method that tells a call's request from those that only look. */
export const methodOf: Readonly<Record<CallName, string>> = {
  put: "PUT",
  get: "GET",
  head: "HEAD",
  delete: "DELETE",
  list: "GET",
  create: "POST",
  writePart: "PUT",
  complete: "POST",
  abort: "DELETE",
  presignedGet: "GET",
  presignedPut: "PUT",
};

export interface WrittenPart {
  readonly partNumber: number;
  readonly etag: string;
  readonly length: number;
}

export interface StorageCalls extends AsyncDisposable {
  put(key: string, text: string, contentType: string): Promise<void>;
  /** The bytes from `first` to `last`, both included. */
  get(key: string, first: number, last: number): Promise<string>;
  head(key: string): Promise<void>;
  delete(key: string): Promise<void>;
  list(prefix: string): Promise<void>;
  /** The id of the upload. */
  create(key: string, contentType: string): Promise<string>;
  writePart(key: string, upload: string, partNumber: number, text: string): Promise<WrittenPart>;
  complete(key: string, upload: string, parts: readonly WrittenPart[]): Promise<void>;
  abort(key: string, upload: string): Promise<void>;
  /** Makes an address that is good for so many seconds, and uses it. */
  presignedGet(key: string, seconds: number, contentDisposition: string): Promise<void>;
  presignedPut(key: string, seconds: number, content: Content): Promise<void>;
}

export interface Content {
  readonly text: string;
  readonly contentType: string;
}

export interface Target {
  /** Without the bucket; its name resolves to this machine. */
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}
