/**
 * What is used of Parse's JavaScript SDK, from 2.2.1 to 8.x. The SDK comes in as an argument: which one it is, and
 * which copy of it, the application knows.
 */

/** `Parse`, as `require("parse/node")` or the page has it. */
export interface ParseSdk {
  readonly CoreManager: {
    get(name: string): unknown;
    setFileController(controller: unknown): void;
    getUserController?(): {
      currentUserAsync(): Promise<{ getSessionToken(): string | null | undefined } | null>;
    };
  };
  readonly Error: new (code: number, message: string) => Error;
  readonly File: ParseFileClass;
}

export interface ParseFileClass {
  new (name: string, data: { readonly base64: string }, type?: string): object;
  encodeBase64?(bytes: ArrayLike<number>): string;
}

/** What a `Parse.File` is made of. Which fields are there depends on `format`. */
export interface FileSource {
  readonly format: string;
  readonly type?: string | undefined;
  readonly base64?: string;
  readonly file?: Blob;
  readonly buffer?: Uint8Array;
  readonly stream?: unknown;
}

/** Options of `Parse.File.save`, `getData` and `destroy` as the SDK hands them on. */
export interface FileOptions {
  readonly useMasterKey?: boolean;
  readonly sessionToken?: string;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly tags?: Readonly<Record<string, unknown>> | undefined;
  readonly directory?: string | undefined;
  readonly maxUploadSize?: string;
  /**
   * Part done (0 to 1; `null` where the length is not known), bytes done, bytes in all; called as bytes leave or come,
   * and at the end.
   */
  readonly progress?: (part: number | null, loaded: number | null, total: number | null) => void;
  /** Gets what `Parse.File.cancel` ends. */
  readonly requestTask?: (task: { abort(): void }) => void;
}

export interface SavedFile {
  readonly name: string;
  readonly url: string;
}

export interface Downloaded {
  readonly base64?: string;
  readonly contentType?: string | null;
}

/** What `Parse.CoreManager.setFileController` takes. */
export interface FileController {
  saveFile(name: string, source: FileSource, options?: FileOptions): Promise<SavedFile>;
  saveBase64(name: string, source: FileSource, options?: FileOptions): Promise<SavedFile>;
  saveBinary(name: string, source: FileSource, options?: FileOptions): Promise<SavedFile>;
  download(uri: string, options?: FileOptions): Promise<Downloaded>;
  deleteFile(name: string, options?: FileOptions): Promise<void>;
}

export interface FileControllerOptions {
  /**
   * Where files go: the address of Roma with its mount, `https://files.example.com/parse`. Left out: the SDK's own
   * `serverURL`.
   */
  readonly filesURL?: string;
}
