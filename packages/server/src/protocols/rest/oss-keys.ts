/**
 * The keys by which Alibaba OSS proves what it sends: each call says where its key is, which is believed only of the
 * one host that has them. https://www.alibabacloud.com/help/en/oss/developer-reference/callback
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { Agent, request as send } from "undici";
import { OperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";

export interface OssKeysOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Where keys are fetched, for tests; left out: `https://gosspublic.alicdn.com`. */
  readonly origin?: string;
  /** For one key, in milliseconds; left out: 2,000. OSS waits 5 s for everything. */
  readonly msMax?: number;
}

const originDefault = "https://gosspublic.alicdn.com";
const msMaxDefault = 2_000;
/** Of the header, and of a key: those in use have 120 and 182 bytes. */
const headerCharactersMax = 1024;
const keyBytesMax = 16 * 1024;
const keptMs = 60 * 60 * 1000;
const keptMax = 16;
const connectionsMax = 2;

interface Kept {
  readonly key: Promise<KeyObject>;
  readonly untilMs: number;
}

export class OssKeys implements AsyncDisposable {
  readonly #options: OssKeysOptions;
  readonly #origin: string;
  readonly #agent = new Agent({ connections: connectionsMax, pipelining: 1 });
  readonly #kept = new Map<string, Kept>();

  constructor(options: OssKeysOptions) {
    this.#options = options;
    this.#origin = options.origin ?? originDefault;
  }

  /**
   * The key that `x-oss-pub-key-url` names; `undefined` if that is no address of a key of OSS. It is fetched by
   * `https` also where it says `http`. `unavailable` when the host does not answer in time, or with no RSA key.
   */
  async keyAt(header: string): Promise<KeyObject | undefined> {
    const path = this.#pathOf(header);
    if (path === undefined) return undefined;
    const nowMs = this.#options.clock.monotonicMs();
    const kept = this.#kept.get(path);
    if (kept !== undefined && kept.untilMs > nowMs) return await kept.key;
    if (this.#kept.size >= keptMax) this.#kept.clear();
    const key = this.#fetch(path);
    const entry = { key, untilMs: nowMs + keptMs };
    this.#kept.set(path, entry);
    try {
      return await key;
    } catch (error) {
      if (this.#kept.get(path) === entry) this.#kept.delete(path);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  #pathOf(header: string): string | undefined {
    if (header.length > headerCharactersMax || !/^[A-Za-z0-9+/]+={0,2}$/.test(header))
      return undefined;
    const text = Buffer.from(header, "base64").toString("latin1");
    // Nothing that two readers of addresses could take for different hosts.
    if (!/^https?:\/\/[a-z0-9.:-]+\/[\w./-]+$/.test(text) || !URL.canParse(text)) return undefined;
    const { host, pathname } = new URL(text);
    return host === new URL(this.#origin).host ? pathname : undefined;
  }

  async #fetch(path: string): Promise<KeyObject> {
    const signal = AbortSignal.timeout(this.#options.msMax ?? msMaxDefault);
    try {
      return await this.#read(`${this.#origin}${path}`, signal);
    } catch (cause) {
      this.#options.log.warn({ err: cause, path }, "a key of OSS could not be had");
      throw new OperationalError("unavailable", "the key of the signature could not be had", {
        cause,
        retryable: true,
      });
    }
  }

  /** Follows no redirection. */
  async #read(url: string, signal: AbortSignal): Promise<KeyObject> {
    const { statusCode, body } = await send(url, { dispatcher: this.#agent, signal });
    const chunks: Buffer[] = [];
    let bytes = 0;
    // Ending the loop early destroys the body, so that no connection waits for a reader.
    for await (const chunk of body) {
      if (!Buffer.isBuffer(chunk)) continue;
      bytes += chunk.length;
      if (bytes > keyBytesMax) throw new Error(`more than ${keyBytesMax} bytes`);
      chunks.push(chunk);
    }
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    const key = createPublicKey(Buffer.concat(chunks));
    if (key.asymmetricKeyType !== "rsa") throw new Error("no RSA key");
    return key;
  }
}
