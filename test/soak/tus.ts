/** Resumable uploads of a client of the soak: with breaks, gone on with from the offset that is told. */
import type { Answer } from "../harness/http-client.ts";
import type { Random } from "../harness/random.ts";
import { bytesFields, keyMetadata, tusFields } from "../uploads/tus-wire.ts";
import { makeBytes } from "./keys.ts";
import { type Ledger, stateOf } from "./ledger.ts";
import { type Wire, wait } from "./wire.ts";

const attemptsMax = 40;

export interface TusOptions {
  readonly wire: Wire;
  readonly ledger: Ledger;
  readonly random: Random;
}

/** Created, sent with breaks, resumed, until it is there; or abandoned after the first break. True: acknowledged. */
export async function uploadByTus(
  { wire, ledger, random }: TusOptions,
  key: string,
  { abandon }: { readonly abandon: boolean },
): Promise<boolean> {
  const bytes = makeBytes(random);
  const state = stateOf(bytes);
  const created = await wire.send("POST", "/tus/demo", {
    headers: {
      ...{ ...tusFields, "upload-length": `${bytes.length}` },
      "upload-metadata": keyMetadata(key),
    },
  });
  // An empty upload is complete at once.
  if (bytes.length === 0) return ledger.settle(key, state, created) === "acknowledged";
  if (created?.status !== 201) return false;
  const upload = new URL(created.headers.location ?? "").pathname;
  let offset = 0;
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const body = bytes.subarray(offset);
    if (abandon && attempt > 0) return false;
    const headers = { ...bytesFields, "upload-offset": `${offset}` };
    let answer: Answer | undefined;
    if (abandon || random.next() < 0.3) {
      const cut = random.below(body.length);
      await wire.sendCut("PATCH", upload, { headers, body, cut });
    } else answer = await wire.send("PATCH", upload, { headers, body });
    if (answer?.status === 204 && Number(answer.headers["upload-offset"]) === bytes.length) {
      ledger.acknowledge(key, state);
      return true;
    }
    const told = await askOffset(wire, upload);
    if (told > bytes.length) ledger.violate(`HEAD ${upload} told offset ${told}`);
    if (told === bytes.length) {
      // The answer to its last bytes was lost. It is an object, or becomes one.
      const read = await wire.send("GET", `/v1/objects/demo/${key}`, {});
      if (read?.status === 200 && stateOf(read.body) === state) {
        ledger.acknowledge(key, state);
        return true;
      }
    } else if (told >= 0) {
      if (told < offset) ledger.violate(`HEAD ${upload} went back from ${offset} to ${told}`);
      offset = told;
    }
    await wait(50 + random.below(100) * Math.min(attempt, 10));
  }
  ledger.doubt(key, state);
  return false;
}

/** Not a number where it is not told. */
async function askOffset(wire: Wire, upload: string): Promise<number> {
  const head = await wire.send("HEAD", upload, { headers: tusFields });
  return head?.status === 200 ? Number(head.headers["upload-offset"]) : Number.NaN;
}
