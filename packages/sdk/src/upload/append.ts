/**
 * Uploads one piece after the other to an address that survives connections, by the IETF's protocol
 * (`docs/protocols/ietf-resumable.md`): for streams whose length nobody knows, and for servers that sign
 * no requests. The piece under way is held until the server has it.
 */
import { objectPath } from "../address.ts";
import { readJson } from "../caller.ts";
import { formatReprDigest } from "../digest-fields.ts";
import { chainCrc64Nvme } from "../digests/crc64-nvme.ts";
import { isRomaError, RomaError } from "../errors.ts";
import { parseObject } from "../parse.ts";
import type { Body, TransportResponse } from "../transport.ts";
import { freeUpload } from "./free-upload.ts";
import { type Job, objectFields, type Stored, uploadPolicy, verifyStored } from "./job.ts";
import type { Lane } from "./progress.ts";
import type { RangedSource } from "./source.ts";

export interface AppendPiece {
  readonly length: number;
  readonly last: boolean;
  /** Without the first `skip` bytes. */
  body(skip: number): Body;
  crc64nvme(): Promise<string>;
}

/** The bytes, one piece after the other. */
export interface AppendSupply {
  readonly length: number | undefined;
  next(): Promise<AppendPiece>;
}

/** What is gathered for one request, and held until the server has it. */
export const gatherBytes = 8 * 1024 * 1024;

const interop = { "upload-draft-interop-version": "8" };

export async function uploadAppending(
  job: Job,
  key: string,
  supply: AppendSupply,
): Promise<Stored> {
  const upload = new AppendUpload(job, key, supply.length);
  const done: { readonly crc64nvme: string; readonly length: number }[] = [];
  job.control.enter("uploading");
  try {
    let next = supply.next();
    for (let start = 0; ; ) {
      const piece = await job.control.guard(next);
      // Gathered while this one is sent.
      if (!piece.last) {
        next = supply.next();
        next.catch(() => {});
      }
      const stored = await upload.send(piece, start);
      start += piece.length;
      done.push({ crc64nvme: await piece.crc64nvme(), length: piece.length });
      if (done.length === 2) done.splice(0, 2, { crc64nvme: chainCrc64Nvme(done), length: start });
      if (stored === undefined) continue;
      verifyStored(stored, start, chainCrc64Nvme(done));
      return stored;
    }
  } catch (error) {
    await upload.cancel();
    throw error;
  }
}

class AppendUpload {
  readonly #job: Job;
  readonly #key: string;
  readonly #length: number | undefined;
  /** Known once the first piece was answered. */
  #location: string | undefined;

  constructor(job: Job, key: string, length: number | undefined) {
    this.#job = job;
    this.#key = key;
    this.#length = length;
  }

  /** Resolves when the server has the piece: with the object if it was the last. */
  async send(piece: AppendPiece, start: number): Promise<Stored | undefined> {
    const { control, meter } = this.#job;
    const lane = meter.lane();
    let unsure = false;
    const stored = await control.attempt({ policy: uploadPolicy(this.#job) }, async (signal) => {
      try {
        const skip = unsure ? await this.#skip(start, piece.length, signal) : 0;
        const whole = skip === piece.length;
        // What is known to be there needs no request, unless it is the end that must be said.
        if (whole && whole !== piece.last && piece.length > 0) return undefined;
        const response = await this.#request({ piece, start, skip, lane, signal });
        if (!piece.last) {
          response.discard();
          return undefined;
        }
        const created = response.status === 201;
        return { object: await readJson(response, parseObject), created };
      } catch (error) {
        unsure = this.#location !== undefined;
        lane.update(0);
        // Somebody else counts: ask where the server is.
        if (isRomaError(error, "offset_mismatch") && unsure) throw retryable(error);
        throw error;
      }
    });
    lane.keep(piece.length);
    return stored;
  }

  /** Frees what the server holds; what it says to that does not matter. */
  async cancel(): Promise<void> {
    const path = this.#location;
    if (path === undefined) return;
    await freeUpload(this.#job.caller, path);
  }

  async #request(given: {
    readonly piece: AppendPiece;
    readonly start: number;
    readonly skip: number;
    readonly lane: Lane;
    readonly signal: AbortSignal;
  }): Promise<TransportResponse> {
    const { piece, start, skip, lane, signal } = given;
    const { caller, options } = this.#job;
    const exchange = {
      body: piece.body(skip),
      signal,
      onSent: (bytes: number) => lane.update(skip + bytes),
    };
    const last = { ...interop, "upload-complete": piece.last ? "?1" : "?0" };
    if (this.#location !== undefined) {
      const headers = {
        ...last,
        accept: "application/json",
        "content-type": "application/partial-upload",
        "upload-offset": String(start + skip),
      };
      return await caller.once({ method: "PATCH", path: this.#location, headers, ...exchange });
    }
    const headers = {
      ...objectFields(this.#job),
      ...formatReprDigest(options.checksums ?? {}),
      ...last,
      ...(this.#length === undefined ? {} : { "upload-length": String(this.#length) }),
    };
    const path = objectPath(options.bucket, this.#key);
    const response = await caller.once({ method: "PUT", path, headers, ...exchange });
    if (piece.last) return response;
    // Only the path: a server behind a proxy may not know its own address, and the token goes nowhere
    // but to the endpoint.
    this.#location = response.headers.location?.match(/\/v1\/uploads\/[^#]+/)?.[0];
    if (this.#location !== undefined) return response;
    response.discard();
    throw new RomaError("bad_answer", "the server did not say where the upload goes on");
  }

  /** How much of the piece the server has already. */
  async #skip(start: number, length: number, signal: AbortSignal): Promise<number> {
    const path = this.#location ?? "";
    const request = { method: "HEAD", path, headers: interop, signal };
    const response = await this.#job.caller.once(request);
    response.discard();
    const offset = Number(response.headers["upload-offset"]);
    if (Number.isSafeInteger(offset) && offset >= start && offset <= start + length) {
      return offset - start;
    }
    const range = `${start} to ${start + length}`;
    throw new RomaError("offset_mismatch", `the server is at ${offset}, this side at ${range}`);
  }
}

function retryable(error: RomaError): RomaError {
  const { message, status } = error;
  const options = { retryable: true, cause: error, ...(status === null ? {} : { status }) };
  return new RomaError(error.code, message, options);
}

/** A source of known length, one piece after the other. */
export function rangedAppends(source: RangedSource): AppendSupply {
  let at = 0;
  return {
    length: source.length,
    async next() {
      const first = at;
      at = Math.min(source.length, first + gatherBytes);
      const end = at;
      const piece = source.piece(first, end);
      return {
        length: end - first,
        last: end === source.length,
        body: (skip) => (skip === 0 ? piece : source.piece(first + skip, end)).body,
        crc64nvme: piece.crc64nvme,
      };
    },
  };
}
