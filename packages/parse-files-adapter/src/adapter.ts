/** The adapter: what parse-server asks of a place for files, over the SDK. It keeps no state but a client. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { type Address, isRomaError, Roma } from "@roma/sdk/node";
import { validateFilename } from "./filenames.ts";
import { keyOf, locationOf } from "./locations.ts";
import { type FileFacts, fileFactsOf, userMetadataOf } from "./metadata.ts";
import { type ParsedOptions, parseOptions, type RomaFilesAdapterOptions } from "./options.ts";
import { sendFile } from "./send-file.ts";

// Each may belong to a slow phone, and none may wait for another's.
const uploadsMax = 1_000_000;

/**
 * Files of a parse-server as objects of one bucket. Bytes are streamed, a chunk at a time in either direction, and
 * a file is there only once the server has it durably and has confirmed its size and checksum; its URLs are the
 * server's own, so downloads pass by parse-server.
 */
export class RomaFilesAdapter {
  readonly #options: ParsedOptions;
  readonly #roma: Roma;

  /** Opens no connection. Throws an `Error` that names every option that is not good. */
  constructor(options?: RomaFilesAdapterOptions) {
    this.#options = parseOptions(options, process.env);
    const { endpoint, credential } = this.#options;
    this.#roma = new Roma({ endpoint, credential, uploadsMax });
  }

  /** Streams are taken as they come, never gathered whole. */
  get supportsStreaming(): boolean {
    return true;
  }

  /**
   * Stores a file; one of the same name is replaced, as with other adapters. Resolves when it is durable. A stream
   * that fails, because the client went away or a limit was passed, leaves nothing, and its own error is told.
   */
  async createFile(
    filename: string,
    data: Uint8Array | Readable,
    contentType?: string | null,
    facts: FileFacts = {},
  ): Promise<void> {
    try {
      const upload = this.#roma.upload(data, {
        ...this.#address(filename),
        metadata: userMetadataOf(facts ?? {}),
        ...(contentType ? { contentType } : {}),
      });
      await upload.done();
    } catch (error) {
      throw streamErrorOf(data) ?? error;
    } finally {
      if (data instanceof Readable) data.destroy();
    }
  }

  /** Deletes a file; rejects with `object_not_found` if there is none. */
  async deleteFile(filename: string): Promise<void> {
    await this.#roma.delete(this.#address(filename));
  }

  /** All bytes of a file, verified. parse-server asks for it where somebody reads through it without a range. */
  async getFileData(filename: string): Promise<Buffer> {
    const download = await this.#roma.download(this.#address(filename));
    const chunks: Uint8Array[] = [];
    for await (const chunk of download.body) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** A URL that reads the file: made from the name alone, in some microseconds. */
  getFileLocation(_config: unknown, filename: string): string {
    return locationOf(this.#options, filename, new Date());
  }

  /** Why a file cannot have this name, or `null`. */
  validateFilename(filename: string): string | null {
    return validateFilename(filename);
  }

  /** Answers a request that reads a range (RFC 9110 §14). Rejects if there is no such file; parse-server says so. */
  async handleFileStream(
    filename: string,
    request: IncomingMessage,
    response: ServerResponse,
    contentType?: string | null,
  ): Promise<void> {
    await sendFile(this.#roma, this.#address(filename), { request, response, contentType });
  }

  /** Metadata and tags that a file was saved with; `{}` if there is none. */
  async getMetadata(filename: string): Promise<FileFacts> {
    try {
      const head = await this.#roma.stat(this.#address(filename));
      return fileFactsOf(head.metadata);
    } catch (error) {
      if (isRomaError(error, "object_not_found")) return {};
      throw error;
    }
  }

  /** Ends idle connections. */
  async handleShutdown(): Promise<void> {
    this.#roma.close();
  }

  #address(filename: string): Address {
    return { bucket: this.#options.bucket, key: keyOf(this.#options, filename) };
  }
}

/** parse-server destroys its stream with what it wants to answer, such as its limit. */
function streamErrorOf(data: unknown): Error | null {
  return data instanceof Readable ? data.errored : null;
}
