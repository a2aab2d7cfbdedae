// Reads a blob, or the blocks around a range of it, and compares it with what was acknowledged. The
// last chunk of what was asked for is given out only when all of it is proven.

import { BlockVerifier, blockAlignedRange } from "../../core/digests/block-verifier.ts";
import { Crc64Nvme, crc64NvmeFromBytes } from "../../core/digests/crc64-nvme.ts";
import { OperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  GetOptions,
  ObjectBody,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";
import { resolveRange } from "../range.ts";
import { layeredBody } from "./layered-body.ts";

type Expected = NonNullable<GetOptions["expected"]>;
type Answer = { head: BlobHead; body: ObjectBody };
type Range = { readonly firstByte: number; readonly lastByte: number };

/** Judges bytes as they pass; both throw `data_damaged`. */
interface Judge {
  update(bytes: Uint8Array): void;
  finish(): void;
}

/** A get whose body is `data_damaged` where it is not what `expected` says. */
export async function verifiedGet(
  inner: StorageDriver,
  key: string,
  options: GetOptions,
): Promise<Answer> {
  const { expected, ...rest } = options;
  if (expected === undefined) return await inner.get(key, rest);
  const { length } = expected;
  const asked = resolveRange(length, options);
  const whole = asked.firstByte === 0 && asked.lastByte === length - 1;
  const read = whole || expected.blocks === undefined ? asked : aligned(asked, expected);
  const { head, body } = await open(inner, key, { ...rest, ...(whole ? {} : read) }, expected);
  const judge = judgeOf(expected, read, whole);
  if (judge === undefined) return { head, body };
  return { head, body: layeredBody(body, verified(body, { asked, read, judge })) };
}

async function open(
  inner: StorageDriver,
  key: string,
  options: GetOptions,
  { length }: Expected,
): Promise<Answer> {
  const { firstByte: _first, lastByte: _last, ...whole } = options;
  // A range outside a shortened blob would be answered with the client's error, not with ours.
  const answer = await inner.get(key, options).catch(async (error: unknown) => {
    if (!(error instanceof OperationalError) || error.code !== "range_unsatisfiable") throw error;
    return await inner.get(key, whole);
  });
  if (answer.head.length === length) return answer;
  await answer.body[Symbol.asyncDispose]();
  throw damaged(`the stored blob has ${answer.head.length} bytes of ${length}`);
}

function aligned(asked: Range, { length, blocks }: Expected): Range {
  if (blocks === undefined) return asked;
  return blockAlignedRange(asked.firstByte, asked.lastByte, {
    length,
    blockBytes: blocks.blockBytes,
  });
}

function judgeOf(expected: Expected, read: Range, whole: boolean): Judge | undefined {
  const { length, blocks, crc64nvme } = expected;
  if (blocks !== undefined) {
    const verifier = new BlockVerifier({ ...blocks, length }, read);
    const judge = (failure: ReturnType<BlockVerifier["finish"]>): void => {
      if (failure !== undefined) throw damaged(`block ${failure.blockIndex} is ${failure.reason}`);
    };
    return {
      update: (bytes) => judge(verifier.update(bytes)),
      finish: () => judge(verifier.finish()),
    };
  }
  if (!whole) return undefined;
  const crc = new Crc64Nvme();
  return {
    update: (bytes) => void crc.update(bytes),
    finish: () => {
      if (crc.value !== crc64NvmeFromBytes(crc64nvme)) throw damaged("the CRC-64/NVME differs");
    },
  };
}

interface Verification {
  readonly asked: Range;
  readonly read: Range;
  readonly judge: Judge;
}

async function* verified(
  body: ObjectBody,
  { asked, read, judge }: Verification,
): AsyncGenerator<Uint8Array> {
  let position = read.firstByte;
  // A copy of the last asked-for bytes, where more of their block has to be read first.
  let held: Uint8Array | undefined;
  for await (const chunk of body) {
    judge.update(chunk);
    const start = position;
    position += chunk.length;
    if (position > read.lastByte + 1) throw damaged("the stored blob is too long");
    const from = Math.max(asked.firstByte - start, 0);
    const to = Math.min(asked.lastByte + 1 - start, chunk.length);
    const wanted = from < to ? chunk.subarray(from, to) : undefined;
    if (position === read.lastByte + 1) {
      judge.finish();
      if (held !== undefined) yield held;
      held = undefined;
      if (wanted !== undefined) yield wanted;
    } else if (wanted !== undefined) {
      const last = start + to === asked.lastByte + 1;
      if (last) held = Uint8Array.from(wanted);
      else yield wanted;
    }
  }
  if (position !== read.lastByte + 1) throw damaged("the stored blob is too short");
  // Nothing was read of an empty blob.
  if (read.lastByte < read.firstByte) judge.finish();
}

function damaged(message: string): OperationalError {
  return new OperationalError("data_damaged", message);
}
