/**
 * What is used of a browser, as far as it is used: the code is compiled without the browser's own
 * declarations, so that no other folder can lean on them.
 */

export interface Xhr {
  readonly upload: { onprogress: ((event: { readonly loaded: number }) => void) | null };
  readonly status: number;
  readonly response: unknown;
  responseType: string;
  onload: (() => void) | null;
  onerror: (() => void) | null;
  onabort: (() => void) | null;
  onprogress: (() => void) | null;
  open(method: string, url: string): void;
  setRequestHeader(name: string, value: string): void;
  send(body?: Blob | Uint8Array): void;
  abort(): void;
  getAllResponseHeaders(): string;
}

export interface PageWorker {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onerror: ((event: { preventDefault?(): void }) => void) | null;
  postMessage(message: unknown): void;
  terminate(): void;
}

export interface DatabaseRequest<T> {
  readonly result: T;
  readonly error: unknown;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
  onupgradeneeded?: (() => void) | null;
  onblocked?: (() => void) | null;
}

export interface ObjectStore {
  get(key: string): DatabaseRequest<unknown>;
  put(value: unknown, key: string): DatabaseRequest<unknown>;
  delete(key: string): DatabaseRequest<unknown>;
  getAllKeys(): DatabaseRequest<readonly unknown[]>;
}

export interface Database {
  createObjectStore(name: string): unknown;
  transaction(
    name: string,
    mode: "readonly" | "readwrite",
  ): { objectStore(name: string): ObjectStore };
  close(): void;
}

interface Globals {
  readonly XMLHttpRequest?: new () => Xhr;
  readonly Worker?: new (url: string) => PageWorker;
  readonly indexedDB?: { open(name: string, version: number): DatabaseRequest<Database> };
  readonly navigator?: { readonly onLine?: boolean };
  readonly addEventListener?: (name: string, listener: () => void) => void;
  readonly removeEventListener?: (name: string, listener: () => void) => void;
}

export const browser: Globals = globalThis as unknown as Globals;
