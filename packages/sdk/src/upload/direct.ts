/**
 * Uploads by signed requests: begun, sent in parts side by side, completed, verified. The server says
 * where the bytes go; when the storage cannot be reached from here, all goes through the server.
 */
import type { DirectUploadRequestJson } from "@roma/contract";
import { namedPath } from "../address.ts";
import { chainCrc64Nvme } from "../digests/crc64-nvme.ts";
import { isRomaError, RomaError } from "../errors.ts";
import { lazily } from "../lazily.ts";
import { present } from "../present.ts";
import { completeUpload } from "./complete.ts";
import type { Group } from "./control.ts";
import { freeUpload } from "./free-upload.ts";
import { type Job, type Stored, uploadPolicy, verifyStored } from "./job.ts";
import { Parallelism } from "./parallelism.ts";
import { type DirectUploadAnswer, parseDirectUpload } from "./parse-direct.ts";
import { type PartSupply, PartsTooLarge } from "./part-supply.ts";
import { type ResumeRecord, Resumption } from "./resume-store.ts";
import { SignedRequests } from "./signed-requests.ts";
import { DirectFailed, SignedSender } from "./signed-sender.ts";

// Few uploads were begun before.
const loadEarlier = lazily(() => import("./earlier-upload.ts"));

type PartsTransfer = DirectUploadAnswer["transfer"] & { readonly kind: "parts" };

/** Of bytes that the server may have already. */
export interface Offer {
  readonly sha256: string;
  /** Answers the server's challenge; `undefined` to be asked for the bytes. */
  readonly prove: (upload: DirectUploadAnswer) => Promise<Stored | undefined>;
}

/** Rejects with `PartsTooLarge` before any byte was taken. */
export async function uploadDirect(job: Job, supply: PartSupply, offer?: Offer): Promise<Stored> {
  const { control, options, notify, meter } = job;
  let via = options.via ?? "auto";
  let asks = offer;
  let begunAgain = false;
  for (;;) {
    try {
      const upload = await DirectUpload.open(job, supply, { via, sha256: asks?.sha256 });
      if (!(upload instanceof DirectUpload)) return upload;
      try {
        if (upload.json.transfer.kind === "proof") {
          const stored = await asks?.prove(upload.json);
          if (stored !== undefined) return stored;
          asks = undefined;
          await upload.cancel();
          continue;
        }
        return await upload.run();
      } catch (error) {
        await upload.abandon(error);
        throw error;
      }
    } catch (error) {
      if (error instanceof DirectFailed && via === "auto" && supply.rewind()) {
        via = "server";
        const message = `the storage cannot be reached from here (${error.message}): all bytes go through the server`;
        notify({ code: "direct_failed", message, cause: error.cause });
      } else if (isLost(error) && !begunAgain && supply.rewind()) {
        begunAgain = true;
        const message = `the upload is gone (${error.message}): it begins again`;
        notify({ code: "began_again", message, cause: error });
      } else {
        throw error instanceof DirectFailed ? error.cause : error;
      }
      control.enter("starting");
      meter.restart();
    }
  }
}

/** A server without such uploads: it has no route for them. */
export function signsNothing(error: unknown): boolean {
  return isRomaError(error, "unsupported");
}

/** The upload is not there any more, or not as this side knows it. */
function isLost(error: unknown): error is RomaError {
  return isRomaError(error, "upload_not_found") || isRomaError(error, "invalid_part");
}

interface OpenOptions {
  readonly via: "auto" | "storage" | "server";
  readonly sha256: string | undefined;
}

interface Opening {
  readonly job: Job;
  readonly supply: PartSupply;
  readonly resumption: Resumption;
  readonly sha256: string | undefined;
}

class DirectUpload {
  readonly json: DirectUploadAnswer;
  readonly #job: Job;
  readonly #supply: PartSupply;
  readonly #resumption: Resumption;
  readonly #sha256: string | undefined;
  /** By part number. */
  readonly #crcs: Map<number, string>;
  readonly #etags = new Map<number, string>();
  readonly #group: Group = {};

  private constructor(
    { job, supply, sha256, resumption }: Opening,
    json: DirectUploadAnswer,
    record?: ResumeRecord,
  ) {
    this.#job = job;
    this.#supply = supply;
    this.json = json;
    this.#resumption = resumption;
    this.#sha256 = sha256;
    const crcs = Object.entries(record?.crcs ?? {});
    this.#crcs = new Map(crcs.map(([number, crc]) => [Number(number), crc]));
  }

  /**
   * The upload that is remembered for this source, or a new one; the object, when who remembered it
   * did not live to see that it was complete.
   */
  static async open(
    job: Job,
    supply: PartSupply,
    options: OpenOptions,
  ): Promise<DirectUpload | Stored> {
    const { bucket, key = "" } = job.options;
    const remembers = job.options.resume !== false && supply.identity !== undefined;
    const where = JSON.stringify([job.caller.endpoint, bucket, key, supply.identity]);
    const resumption = new Resumption(remembers ? job.store : undefined, where);
    const opening = { job, supply, resumption, sha256: options.sha256 };
    const record = await resumption.find();
    if (record !== undefined) {
      const { caller, control } = job;
      const { findUpload } = await control.attempt({ policy: caller.retry }, loadEarlier);
      const found = await findUpload(job, supply, record);
      if (found !== undefined && "id" in found) return new DirectUpload(opening, found, record);
      resumption.forget();
      if (found !== undefined) {
        await resumption.settled();
        notifyResumed(job, supply.length);
        return found;
      }
    }
    const json = await beginUpload(job, supply, options);
    const upload = new DirectUpload(opening, json);
    const { transfer } = json;
    if (!supply.fits(transfer.kind === "parts" ? transfer.partBytes : json.length)) {
      await upload.cancel();
      throw new PartsTooLarge();
    }
    return upload;
  }

  async run(): Promise<Stored> {
    const { control } = this.#job;
    const { transfer, length } = this.json;
    control.enter("uploading");
    let crc64nvme: string;
    if (transfer.kind === "parts") {
      await this.#sendParts(transfer);
      crc64nvme = this.#chained(transfer);
    } else if (transfer.kind === "put") {
      const sender = this.#sender({ put: transfer.request }, () => []);
      const piece = await control.guard(this.#supply.part(1, 0, length));
      await sender.send("put", piece);
      crc64nvme = await piece.crc64nvme();
    } else {
      throw new RomaError("bad_answer", "a proof was asked for that was not offered");
    }
    control.enter("completing");
    const stored = await this.#complete(crc64nvme);
    verifyStored(stored, length, crc64nvme);
    this.#resumption.forget();
    await this.#resumption.settled();
    return stored;
  }

  /** Frees what the server holds of it, and forgets it. */
  async cancel(): Promise<void> {
    this.#resumption.forget();
    await this.#resumption.settled();
    await freeUpload(this.#job.caller, namedPath("/v1/uploads", this.json.id));
  }

  /** After a failure: what may be gone on with stays, the rest is freed. */
  async abandon(error: unknown): Promise<void> {
    await this.#resumption.settled();
    const later = isRomaError(error) && error.retryable && this.#resumption.remembers;
    if (!later) await this.cancel();
  }

  async #sendParts(transfer: PartsTransfer): Promise<void> {
    const { job, supply } = { job: this.#job, supply: this.#supply };
    const missing = this.#findMissing(transfer);
    const sender = this.#sender(transfer.requests, () => missing);
    const max = Math.min(job.options.parallel ?? 6, supply.parallelMax(transfer.partBytes));
    const parallelism = new Parallelism({ max });
    const running = new Set<Promise<void>>();
    let failure: { readonly error: unknown } | undefined;
    const fail = (error: unknown) => {
      failure ??= { error };
      job.control.stop(this.#group);
    };
    const verified = this.#verifyKnown(transfer, () => failure !== undefined).catch(fail);
    const sendOne = async (number: number): Promise<void> => {
      const { first, end } = this.#bounds(transfer, number);
      try {
        const piece = await job.control.guard(supply.part(number, first, end));
        const etag = await sender.send(number, piece, () => parallelism.onFailure());
        this.#crcs.set(number, await piece.crc64nvme());
        if (etag !== undefined) this.#etags.set(number, etag);
        supply.kept(number);
        parallelism.onPart(job.meter.bytes);
        this.#save(transfer.partBytes);
      } catch (error) {
        fail(error);
      }
    };
    while (running.size > 0 || (missing.length > 0 && failure === undefined)) {
      while (failure === undefined && running.size < parallelism.limit) {
        const number = missing.shift();
        if (number === undefined) break;
        const part: Promise<void> = sendOne(number).finally(() => running.delete(part));
        running.add(part);
      }
      await Promise.race(running);
    }
    await verified;
    if (failure !== undefined) throw failure.error;
  }

  #sender(
    requests: ConstructorParameters<typeof SignedRequests>[2],
    following: () => Iterable<number>,
  ): SignedSender {
    const signed = new SignedRequests(this.#job.caller, this.json.id, requests, following);
    return new SignedSender(this.#job, this.json.via, signed, this.#group);
  }

  /** Numbers of parts that are not there; counts those that are. */
  #findMissing(transfer: PartsTransfer): number[] {
    let bytes = 0;
    for (const { number, length, etag } of transfer.parts) {
      const { first, end } = this.#bounds(transfer, number);
      // Without its CRC nobody knows whether it is of these bytes.
      if (length !== end - first || !this.#crcs.has(number)) continue;
      this.#etags.set(number, etag);
      bytes += length;
    }
    for (const number of this.#crcs.keys()) {
      if (!this.#etags.has(number)) this.#crcs.delete(number);
    }
    if (bytes > 0) notifyResumed(this.#job, bytes);
    const numbers = Array.from({ length: transfer.partCount }, (_, index) => index + 1);
    return numbers.filter((number) => !this.#etags.has(number));
  }

  #bounds({ partBytes }: { readonly partBytes: number }, number: number) {
    const first = (number - 1) * partBytes;
    return { first, end: Math.min(first + partBytes, this.json.length) };
  }

  #save(partBytes: number): void {
    const { id, expiresAt } = this.json;
    const crcs = Object.fromEntries(this.#crcs);
    this.#resumption.save({ uploadId: id, expiresAt, partBytes, crcs });
  }

  /**
   * Reads again what an earlier page or process has sent: a file of the same name, size and time may
   * be another one, and an object of two files would be nobody's.
   */
  async #verifyKnown(transfer: PartsTransfer, isOver: () => boolean): Promise<void> {
    for (const [number, crc] of [...this.#crcs]) {
      if (isOver()) return;
      const { first, end } = this.#bounds(transfer, number);
      const piece = await this.#supply.part(number, first, end);
      if ((await piece.crc64nvme()) === crc) continue;
      throw new RomaError("invalid_part", "the file is not the one that was sent before");
    }
  }

  #chained(transfer: PartsTransfer): string {
    const parts = Array.from({ length: transfer.partCount }, (_, index) => {
      const { first, end } = this.#bounds(transfer, index + 1);
      return { crc64nvme: this.#crcs.get(index + 1) ?? "", length: end - first };
    });
    return chainCrc64Nvme(parts);
  }

  #complete(crc64nvme: string): Promise<Stored> {
    const { transfer, id } = this.json;
    const parts = [...this.#etags].sort(([a], [b]) => a - b);
    const known = transfer.kind === "parts" && parts.length === transfer.partCount;
    return completeUpload(this.#job, id, {
      checksums: {
        ...this.#job.options.checksums,
        ...present({ sha256: this.#sha256 }),
        crc64nvme,
      },
      ...(known ? { parts: parts.map(([number, etag]) => ({ number, etag })) } : {}),
    });
  }
}

function notifyResumed({ notify, meter }: Job, bytes: number): void {
  notify({ code: "resumed", message: `${bytes} bytes are there already`, bytes });
  meter.add(bytes);
}

function beginUpload(
  job: Job,
  supply: PartSupply,
  { via, sha256 }: OpenOptions,
): Promise<DirectUploadAnswer> {
  const { caller, control, options, source } = job;
  const { bucket, key, metadata, createOnly } = options;
  const { length, partBytes } = supply;
  const contentType = options.contentType ?? source.contentType;
  const filename = options.filename ?? source.filename;
  const checksums = { ...options.checksums, ...present({ sha256 }) };
  const value: DirectUploadRequestJson = {
    ...present({ key, filename, contentType, metadata, createOnly, partBytes }),
    ...{ bucket, length, checksums, via },
    ...(sha256 === undefined ? {} : { instant: true }),
  };
  const request = { method: "POST", path: "/v1/uploads", value, parse: parseDirectUpload };
  const attempt = { policy: uploadPolicy(job), steady: true };
  const begun = control.attempt(attempt, async () => (await caller.json(request)).value);
  // Cancelled meanwhile: nobody else will know its id.
  const guarded = control.guard(begun);
  guarded.catch(() =>
    begun.then(({ id }) => freeUpload(caller, namedPath("/v1/uploads", id))).catch(() => {}),
  );
  return guarded;
}
