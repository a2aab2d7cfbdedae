/** What a client of the soak does by S3: with the AWS SDK for JavaScript, without its repeats, at the listener for S3. */
import { createHash } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import type { Random } from "../harness/random.ts";
import { rootKey } from "../harness/server-process.ts";
import { type Keys, makeBytes } from "./keys.ts";
import { absent, isUnknown, type Ledger, type Outcome, stateOf } from "./ledger.ts";
import { answerMsMax, countSlow, wait } from "./wire.ts";

const Bucket = "demo";
const partBytesMin = 5 * 1024 * 1024;
/** Of a part, or of completing. */
const attemptsMax = 10;

export interface S3ActsOptions {
  /** Of the listener. */
  readonly s3Url: string;
  readonly keys: Keys;
  readonly ledger: Ledger;
  readonly random: Random;
  readonly count: (what: string) => void;
}

type Told<Output> =
  | (NonNullable<Outcome> & { readonly output?: Output; readonly code?: string })
  | undefined;

interface UploadName {
  readonly Key: string;
  readonly UploadId: string;
}

export class S3Acts {
  readonly #it: S3ActsOptions;
  #client: S3Client;

  constructor(options: S3ActsOptions) {
    this.#it = options;
    this.#client = openClient(options.s3Url);
  }

  closeConnections(): void {
    this.#client.destroy();
    this.#client = openClient(this.#it.s3Url);
  }

  async put(key: string): Promise<void> {
    const { random } = this.#it;
    const bytes = makeBytes(random);
    const checksum = random.next() < 0.3 ? ({ ChecksumAlgorithm: "SHA256" } as const) : {};
    const command = new PutObjectCommand({ Bucket, Key: key, Body: bytes, ...checksum });
    const outcome = await this.#tell(`PutObject ${key}`, (options) =>
      this.#client.send(command, options),
    );
    this.#settle("s3Put", key, stateOf(bytes), outcome);
  }

  /** Reads the whole object. */
  async see(key: string): Promise<void> {
    const told = await this.#read(key);
    if (told?.output !== undefined) {
      this.#it.ledger.see(key, stateOf(told.output.bytes), "GetObject");
    }
    if (told?.code === "NoSuchKey") this.#it.ledger.see(key, absent, "GetObject");
  }

  /** A range of what the whole read before had. */
  async getRange(key: string): Promise<void> {
    const { random, ledger } = this.#it;
    const whole = (await this.#read(key))?.output;
    if (whole === undefined || whole.bytes.length < 2) return;
    const first = random.below(whole.bytes.length - 1);
    const last = first + random.below(whole.bytes.length - first);
    const range = await this.#read(key, { Range: `bytes=${first}-${last}`, IfMatch: whole.etag });
    const bytes = range?.output?.bytes;
    if (bytes !== undefined && !bytes.equals(whole.bytes.subarray(first, last + 1))) {
      ledger.violate(`GetObject ${key} of bytes ${first}-${last} showed others than the whole`);
    }
  }

  /** Of another key of this client, which nobody changes meanwhile. */
  async copy(key: string): Promise<void> {
    const { keys, ledger } = this.#it;
    const source = keys.pickPresent();
    if (source === undefined || source === key) return await this.put(key);
    const [state = absent] = ledger.possible(source);
    const CopySource = `${Bucket}/${source}`;
    const outcome = await this.#tell(`CopyObject ${source} to ${key}`, (options) =>
      this.#client.send(new CopyObjectCommand({ Bucket, Key: key, CopySource }), options),
    );
    if (outcome?.code === "NoSuchKey") ledger.violate(`CopyObject does not find ${source}`);
    this.#settle("s3Copy", key, state, outcome);
  }

  async remove(key: string): Promise<void> {
    const outcome = await this.#tell(`DeleteObject ${key}`, (options) =>
      this.#client.send(new DeleteObjectCommand({ Bucket, Key: key }), options),
    );
    this.#settle("s3Remove", key, absent, outcome);
  }

  /** Parts in any order, some of them broken off and sent again; completed, and asked again if the answer was lost. */
  async putParts(key: string): Promise<void> {
    const { random } = this.#it;
    const tail = 1 + random.below(300_000);
    const bytes = makeBytes(random, random.next() < 0.5 ? tail : partBytesMin + tail);
    const upload = await this.#create(key);
    if (upload === undefined) return;
    const parts: { PartNumber: number; ETag: string | undefined }[] = [];
    for (const index of bytes.length > partBytesMin ? [1, 0] : [0]) {
      const part = bytes.subarray(index * partBytesMin, (index + 1) * partBytesMin);
      const ETag = await this.#putPart(upload, index + 1, part);
      if (ETag === undefined) return void (await this.#abort(upload));
      parts.unshift({ PartNumber: index + 1, ETag });
    }
    const outcome = await this.#completeSurely(upload, parts);
    this.#settle("s3Parts", key, stateOf(bytes), outcome);
    if (outcome !== undefined && outcome.status >= 300) await this.#abort(upload);
  }

  /** Given up after its parts: it must not become an object, though somebody asks for it. */
  async abortParts(key: string): Promise<void> {
    const { random, ledger } = this.#it;
    const upload = await this.#create(key);
    if (upload === undefined) return;
    const bytes = makeBytes(random, 1 + random.below(300_000));
    const ETag = await this.#putPart(upload, 1, bytes);
    if ((await this.#abort(upload)) === 204) {
      const outcome = await this.#complete(upload, [{ PartNumber: 1, ETag: ETag ?? '"none"' }]);
      if (outcome !== undefined && outcome.status < 300) {
        ledger.violate(`CompleteMultipartUpload ${key} of an aborted upload: ${outcome.status}`);
      }
    }
    await this.see(key);
  }

  async #create(key: string): Promise<UploadName | undefined> {
    const told = await this.#tell(`CreateMultipartUpload ${key}`, (options) =>
      this.#client.send(new CreateMultipartUploadCommand({ Bucket, Key: key }), options),
    );
    const UploadId = told?.output?.UploadId;
    return UploadId === undefined ? undefined : { Key: key, UploadId };
  }

  async #abort(upload: UploadName): Promise<number | undefined> {
    const told = await this.#tell(`AbortMultipartUpload ${upload.Key}`, (options) =>
      this.#client.send(new AbortMultipartUploadCommand({ Bucket, ...upload }), options),
    );
    return told?.status;
  }

  /** Its ETag, once it is taken. */
  async #putPart(
    upload: UploadName,
    PartNumber: number,
    bytes: Buffer,
  ): Promise<string | undefined> {
    const { random, ledger } = this.#it;
    const what = `UploadPart ${PartNumber} of ${upload.Key}`;
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      const command = new UploadPartCommand({ Bucket, ...upload, PartNumber, Body: bytes });
      const leaveAfterMs = random.next() < 0.2 ? random.below(30) : undefined;
      const told = await this.#tell(
        what,
        (options) => this.#client.send(command, options),
        leaveAfterMs,
      );
      const ETag = told?.output?.ETag;
      if (ETag !== undefined) {
        const md5 = createHash("md5").update(bytes).digest("hex");
        if (ETag !== `"${md5}"`) ledger.violate(`${what} was answered ${ETag} for ${md5}`);
        return ETag;
      }
      await wait(50 + random.below(100) * attempt);
    }
    return undefined;
  }

  #complete(
    upload: UploadName,
    Parts: { PartNumber: number; ETag: string | undefined }[],
  ): Promise<Told<object>> {
    const command = { Bucket, ...upload, MultipartUpload: { Parts } };
    return this.#tell(`CompleteMultipartUpload ${upload.Key}`, (options) =>
      this.#client.send(new CompleteMultipartUploadCommand(command), options),
    );
  }

  /** Asked again until it says what became of it; `undefined` if it never does. */
  async #completeSurely(
    upload: UploadName,
    parts: { PartNumber: number; ETag: string | undefined }[],
  ): Promise<Outcome> {
    const { random, ledger } = this.#it;
    let isDoubtful = false;
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#complete(upload, parts);
      if (outcome !== undefined && outcome.status < 300) return outcome;
      isDoubtful ||= isUnknown(outcome);
      if (outcome?.code === "NoSuchUpload") {
        ledger.violate(`CompleteMultipartUpload ${upload.Key} lost its upload, try ${attempt}`);
      }
      if (attempt === attemptsMax || (outcome !== undefined && outcome.status < 500)) {
        return isDoubtful ? undefined : outcome;
      }
      await wait(50 + random.below(100) * attempt);
    }
  }

  async #read(
    key: string,
    more: Partial<GetObjectCommandInput> = {},
  ): Promise<Told<{ bytes: Buffer; etag: string | undefined }>> {
    return await this.#tell(`GetObject ${key}`, async (options) => {
      const command = new GetObjectCommand({ Bucket, Key: key, ...more });
      const { Body, ETag, $metadata } = await this.#client.send(command, options);
      const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
      return { bytes, etag: ETag, $metadata };
    });
  }

  #settle(act: string, key: string, state: string, outcome: Outcome): void {
    this.#it.count(`${act} ${this.#it.ledger.settle(key, state, outcome)}`);
  }

  /** What was answered; `undefined` where nothing was, or the client left by itself. */
  async #tell<Output extends { $metadata: { httpStatusCode?: number | undefined } }>(
    what: string,
    ask: (options: { abortSignal: AbortSignal }) => Promise<Output>,
    leaveAfterMs?: number,
  ): Promise<Told<Output>> {
    const { ledger, count } = this.#it;
    const since = performance.now();
    const late = AbortSignal.timeout(leaveAfterMs ?? answerMsMax);
    try {
      const output = await ask({ abortSignal: late });
      const status = output.$metadata.httpStatusCode ?? 0;
      count(`S3 ${status}`);
      return { status, body: Buffer.alloc(0), output };
    } catch (error) {
      if (late.aborted && leaveAfterMs === undefined) {
        ledger.violate(`${what} had no answer within ${answerMsMax} ms`);
      }
      if (!(error instanceof S3ServiceException) || late.aborted) {
        count(late.aborted ? "S3 client left" : "S3 connection broke");
        return undefined;
      }
      const { name, message, $metadata } = error;
      const status = $metadata.httpStatusCode ?? 0;
      count(`S3 ${status} ${name}`);
      if (name === "InternalError") ledger.violate(`${what} was answered ${name}: ${message}`);
      // A failure is a failure, whatever the status before a document that says so.
      return { status: status < 300 ? 500 : status, body: Buffer.from(message), code: name };
    } finally {
      countSlow(count, what.split(" ", 1).join(), since);
    }
  }
}

function openClient(endpoint: string): S3Client {
  const [accessKeyId = "", secretAccessKey = ""] = rootKey.split(":");
  return new S3Client({
    ...{ endpoint, region: "us-east-1", forcePathStyle: true, maxAttempts: 1 },
    credentials: { accessKeyId, secretAccessKey },
  });
}
