/**
 * The page of the tests in Chromium: what they call is on `window`. A file is made of one chunk again
 * and again, so that a gigabyte of it takes the memory of the chunk.
 */
import { Roma, type UploadNotice, type UploadState } from "@roma/sdk";

export interface PageUpload {
  readonly endpoint: string;
  readonly token: string;
  readonly key: string;
  readonly length: number;
  /** `stream` hides the length. */
  readonly as?: "file" | "stream";
  readonly instant?: boolean;
  readonly via?: "auto" | "server" | "storage";
}

export interface PageState {
  readonly state: UploadState;
  readonly bytes: number;
  readonly notices: readonly UploadNotice["code"][];
  /** It never went back. */
  readonly steady: boolean;
  readonly result: { readonly size: number; readonly crc64nvme: string } | undefined;
  readonly error: string | undefined;
}

declare const document: {
  title: string;
  querySelector(selector: string): {
    addEventListener(name: string, listener: (event: DropEvent) => void): void;
  };
};

interface DropEvent {
  preventDefault(): void;
  readonly dataTransfer: { readonly files: Iterable<File> };
}

const chunkBytes = 4 * 1024 * 1024;

function fileOf(length: number): File {
  const chunk = new Uint8Array(chunkBytes);
  let state = 1;
  for (let at = 0; at < chunk.length; at++) {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    chunk[at] = state >>> 16;
  }
  const blob = new Blob([chunk]);
  const parts = Array.from({ length: Math.ceil(length / chunkBytes) }, (_, index) =>
    blob.slice(0, Math.min(chunkBytes, length - index * chunkBytes)),
  );
  return new File(parts, "generated.bin", { lastModified: 1_700_000_000_000 });
}

let shown: PageState;

const page = {
  /** Begins; `look` tells how it goes. */
  begin({ endpoint, token, key, length, as = "file", ...options }: PageUpload): void {
    const roma = new Roma({ endpoint, token });
    shown = {
      ...{ state: "waiting", bytes: 0, notices: [], steady: true },
      ...{ result: undefined, error: undefined },
    };
    const file = fileOf(length);
    const upload = roma.upload(as === "file" ? file : file.stream(), {
      ...{ bucket: "demo", key, ...options },
      onState: (state) => {
        shown = { ...shown, state };
      },
      onProgress: ({ bytes }) => {
        shown = { ...shown, bytes, steady: shown.steady && bytes >= shown.bytes };
      },
      onNotice: ({ code }) => {
        shown = { ...shown, notices: [...shown.notices, code] };
      },
    });
    upload.done().then(
      ({ size, checksums: { crc64nvme } }) => {
        shown = { ...shown, result: { size, crc64nvme } };
      },
      (error: unknown) => {
        shown = { ...shown, error: String(error) };
      },
    );
  },

  look: (): PageState => shown,

  /** Files that are dropped on the page are uploaded; resolves with how many keys are there then. */
  async acceptDrops({ endpoint, token }: Pick<PageUpload, "endpoint" | "token">): Promise<void> {
    const roma = new Roma({ endpoint, token });
    document.querySelector("#drop").addEventListener("drop", (event) => {
      event.preventDefault();
      const uploads = Array.from(event.dataTransfer.files, (file) =>
        roma.upload(file, { bucket: "demo", key: `dropped/${file.name}` }).done(),
      );
      Promise.all(uploads).then(
        async () => {
          let count = 0;
          for await (const _ of roma.list("demo", { prefix: "dropped/" })) count += 1;
          document.title = `dropped ${count}`;
        },
        (error: unknown) => {
          document.title = String(error);
        },
      );
    });
  },

  /** A small object, both ways. */
  async roundTrip({ endpoint, token }: Pick<PageUpload, "endpoint" | "token">): Promise<string> {
    await using roma = new Roma({ endpoint, token });
    const at = { bucket: "demo", key: "round/trip" };
    await roma.upload(new Blob(["round trip"], { type: "text/plain" }), at).done();
    const { contentType, crc64nvme } = await roma.stat(at);
    const download = await roma.download(at);
    const text = await (await download.blob()).text();
    const url = await roma.signUrl(at);
    const signed = await (await fetch(url)).text();
    await roma.copy(at, { ...at, key: "round/copy" });
    await roma.delete(at);
    const left: string[] = [];
    for await (const { key } of roma.list("demo", { prefix: "round/" })) left.push(key);
    return JSON.stringify({ contentType, crc: crc64nvme !== null, text, signed, left });
  },

  /** Downloads in ranges and counts, without holding them. */
  async downloadBytes(options: PageUpload): Promise<number> {
    await using roma = new Roma(options);
    const download = await roma.download({ bucket: "demo", key: options.key });
    let bytes = 0;
    for await (const chunk of download.body) bytes += chunk.length;
    return bytes;
  },
};

Object.assign(globalThis, { page });
document.title = "ready";
