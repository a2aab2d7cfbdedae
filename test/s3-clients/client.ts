/** A client of S3 that others wrote, and what it is tried on: the same for each, on every storage. */
import type { TestContext } from "node:test";
import type { RandomFile } from "../uploads/stored-bytes.ts";

export interface S3ClientTests {
  /** As its users call it. */
  readonly name: string;
  /** Its cases, as tests below `t`; first leaves `t` out where the machine lacks the client. */
  readonly run: (t: TestContext, open: OpenTarget) => Promise<void>;
}

/** A bucket and a folder of the client's own. */
export type OpenTarget = () => Promise<Target>;

export interface Target {
  /** Of S3 on the server's port: `http://127.0.0.1:8420/s3`. */
  readonly endpoint: string;
  /** Of the listener for S3 alone: `http://127.0.0.1:8421`. */
  readonly rootEndpoint: string;
  /** `rootEndpoint` by TLS. */
  readonly secureEndpoint: string;
  /** `rootEndpoint` by a name that has each bucket as a label before it; it is to be resolved to 127.0.0.1. */
  readonly virtualEndpoint: string;
  /** File of the certificate that `secureEndpoint` is known by. */
  readonly certificate: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  /** Empty at first. */
  readonly bucket: string;
  /** Only to be read, by all clients at once. */
  readonly many: ManyObjects;
  /** Long enough for several parts, whatever the client's part size. */
  readonly large: RandomFile;
  /** Below 5 MiB. */
  readonly small: RandomFile;
  readonly folder: string;
}

/** More than a page of small objects: each holds its own key. */
export interface ManyObjects {
  readonly bucket: string;
  /** In the order of a listing. Half of them are below `folder/`. */
  readonly keys: readonly string[];
}

/** No segment of it is a dot, and no client can leave it as it is in a URL. */
export const awkwardKey = "größe/a b+c%2Fd/日本 &=#?;'\"~!*()/é";
