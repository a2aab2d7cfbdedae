/**
 * Bytes that come by requests to this server, which it has signed: parts of `core/multipart`, each a blob of
 * its own. Completing them copies nothing.
 */

import type { Actor } from "../access.ts";
import { type Multipart, type MultipartAddress, partsMax } from "../multipart/index.ts";
import { parseKey } from "../object-key.ts";
import { chooseAll, partLength } from "./part-plan.ts";
import type { PartSignatures } from "./part-signatures.ts";
import { type DirectRecord, directProtocol, planOfRecord } from "./record.ts";
import type {
  CompleteDirectRequest,
  CompletedDirect,
  FormRequest,
  PartRequest,
} from "./requests.ts";
import type { StoredPart, Way } from "./way.ts";

export class ServerWay implements Way {
  readonly #multipart: Multipart;
  readonly #signatures: PartSignatures;

  constructor(multipart: Multipart, signatures: PartSignatures) {
    this.#multipart = multipart;
    this.#signatures = signatures;
  }

  async sign(
    upload: DirectRecord,
    numbers: readonly number[],
    { expiresAt }: { readonly expiresAt: Date },
  ): Promise<readonly PartRequest[]> {
    const plan = planOfRecord(upload);
    const expiresSeconds = Math.floor(expiresAt.getTime() / 1000);
    return numbers.map((number) => {
      const length = partLength(plan, number) ?? 0;
      const signed = {
        method: "PUT",
        uploadId: upload.id,
        number,
        length,
        expiresSeconds,
      } as const;
      const signature = this.#signatures.sign(signed);
      const until = new Date(expiresSeconds * 1000);
      return { number, expiresAt: until, to: "server", expiresSeconds, signature };
    });
  }

  async signForm(
    upload: DirectRecord,
    { expiresAt }: { readonly expiresAt: Date },
  ): Promise<FormRequest> {
    const expiresSeconds = Math.floor(expiresAt.getTime() / 1000);
    const { id: uploadId, length } = upload;
    const signed = { method: "POST", uploadId, number: 1, length, expiresSeconds } as const;
    const until = new Date(expiresSeconds * 1000);
    const signature = this.#signatures.sign(signed);
    return { to: "server", expiresAt: until, expiresSeconds, signature };
  }

  async stored(actor: Actor, upload: DirectRecord): Promise<ReadonlyMap<number, StoredPart>> {
    const stored = new Map<number, StoredPart>();
    let after: number | undefined = 0;
    while (after !== undefined) {
      const query = { after, limit: partsMax };
      const page = await this.#multipart.listParts(actor, addressOf(upload), query);
      for (const part of page.parts) stored.set(part.partNumber, part);
      after = page.next;
    }
    return stored;
  }

  async complete(
    actor: Actor,
    upload: DirectRecord,
    request: CompleteDirectRequest,
  ): Promise<CompletedDirect> {
    const stored = await this.stored(actor, upload);
    const parts = chooseAll(planOfRecord(upload), stored, request.parts);
    return await this.#multipart.complete(actor, addressOf(upload), {
      parts: parts.map(({ number, etag }) => ({ partNumber: number, etag })),
      conditions: upload.conditions,
      length: upload.length,
      digests: { ...upload.digests, ...request.digests },
      mayRead: true,
      signal: request.signal,
    });
  }
}

export function addressOf({ bucket, key, id }: DirectRecord): MultipartAddress {
  return { bucket, key: parseKey(key), uploadId: id, protocol: directProtocol };
}
