// The steps of a canary, in order. Each tries one thing, fails by throwing, and answers what it saw of
// the capabilities that the storage declares.

import { isOperationalError } from "../../core/errors.ts";
import type { Grant } from "../../core/ports/storage-driver.ts";
import {
  assertTexts,
  canHold,
  longName,
  missing,
  namesListed,
  partsOf,
  send,
  wasRefused,
} from "./attempts.ts";
import { assertSame, bytesOf, md5, type Seen, type Trial } from "./trial.ts";

export interface Step {
  readonly name: string;
  /** In the short form too. */
  readonly short?: true;
  /** Left out where nothing may be written. */
  readonly writes?: true;
  /** Without it the others cannot say anything. */
  readonly essential?: true;
  /** Absent operations have nothing to try. */
  readonly offered?: (trial: Trial) => boolean;
  readonly run: (trial: Trial) => Promise<StepFinding>;
}

// biome-ignore lint/suspicious/noConfusingVoidType: a step that saw nothing special answers nothing
export type StepFinding = { readonly seen?: Seen; readonly detail?: string } | void;

const small = bytesOf(70_001, 1);
const other = bytesOf(4_097, 2);
const yes = "yes";
const no = "no";

export const steps: readonly Step[] = [
  {
    name: "probe",
    short: true,
    essential: true,
    run: ({ driver, signal }) => driver.probe({ signal }),
  },
  {
    name: "write",
    short: true,
    writes: true,
    essential: true,
    run: async (trial) => {
      const digests = { md5: md5(small) };
      const head = await trial.put(trial.key("small"), small, { digests });
      if (head.length !== small.length) throw new Error(`it holds ${head.length} bytes`);
      const isMd5 = head.etag.toLowerCase() === md5(small).toString("hex");
      return { seen: { etagIsMd5: isMd5 ? yes : no } };
    },
  },
  {
    name: "read and compare",
    short: true,
    writes: true,
    run: (trial) => trial.expect(trial.key("small"), small),
  },
  {
    name: "head",
    writes: true,
    run: async (trial) => {
      const { driver, signal } = trial;
      const head = await driver.head(trial.key("small"), { signal });
      if (head.length !== small.length) throw new Error(`it tells ${head.length} bytes`);
      const ageMs = Math.abs(Date.now() - head.modifiedAt.getTime());
      const apart = ageMs > 60_000 ? `its clock is ${Math.round(ageMs / 1000)} s apart` : "";
      return { detail: apart };
    },
  },
  {
    name: "wrong digest is refused",
    writes: true,
    run: async (trial) => {
      const key = trial.key("refused");
      const wrong = trial.put(key, small, { digests: { md5: md5(other) } });
      const error = await trial.refusal(wrong, "a wrong MD5");
      if (error.code !== "checksum_mismatch") throw error;
      await missing(trial, key);
    },
  },
  {
    name: "sizes 0, 1 and 3 MiB",
    writes: true,
    run: async (trial) => {
      for (const length of [0, 1, 3 * 1024 * 1024]) {
        const bytes = bytesOf(length, length + 3);
        const key = trial.key(`size-${length}`);
        await trial.put(key, bytes);
        await trial.expect(key, bytes);
      }
    },
  },
  {
    name: "ranges",
    writes: true,
    run: async (trial) => {
      const key = trial.key("small");
      const last = small.length - 1;
      for (const [firstByte, lastByte] of [
        [0, 0],
        [1, 65_536],
        [last, last],
      ] as const) {
        const bytes = await trial.read(key, { firstByte, lastByte });
        assertSame(bytes, small.subarray(firstByte, lastByte + 1));
      }
      const outside = trial.read(key, { firstByte: small.length });
      const error = await trial.refusal(outside, "a range past the end");
      if (error.code !== "range_unsatisfiable") throw error;
    },
  },
  {
    name: "list",
    writes: true,
    run: async (trial) => {
      const names = ["list/a", "list/b c", "list/é", "list/z"];
      for (const name of names) await trial.put(trial.key(name), other);
      const listed = (after?: string) => namesListed(trial, "list/", after);
      const inBytes = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const all = await listed();
      if (all.length < names.length) return { seen: { listing: "eventual" } };
      assertTexts(all, inBytes);
      assertTexts(await listed(`${trial.prefix}list/b c`), inBytes.slice(2));
      return { seen: { listing: "strong" } };
    },
  },
  {
    name: "nested keys",
    writes: true,
    run: async (trial) => {
      const [outer, inner, last] = ["nested/a", "nested/a/b", "nested/c"] as const;
      await trial.put(trial.key(outer), small);
      if (!(await canHold(trial, trial.key(inner), other))) return { seen: { nestedKeys: no } };
      await trial.expect(trial.key(outer), small);
      await trial.put(trial.key(last), other);
      const listed = await namesListed(trial, "nested/");
      // A list that is late does not tell what is hidden.
      if (!listed.includes(last)) return;
      return { seen: { nestedKeys: listed.includes(outer) && listed.includes(inner) ? yes : no } };
    },
  },
  {
    name: "overwrite is seen at once",
    writes: true,
    run: async (trial) => {
      const key = trial.key("overwritten");
      await trial.put(key, small);
      await trial.put(key, other);
      await trial.expect(key, other);
    },
  },
  {
    name: "metadata",
    writes: true,
    run: async (trial) => {
      const { driver, signal } = trial;
      const key = trial.key("metadata");
      const metadata = { contentType: "text/x-roma", user: { colour: "rot und grün" } };
      const wanted = driver.capabilities.metadataBytesMax > 0 ? { metadata } : {};
      await trial.put(key, other, wanted);
      const head = await driver.head(key, { signal });
      const same =
        head.metadata.contentType === metadata.contentType &&
        head.metadata.user?.colour === metadata.user.colour;
      return { seen: { keepsMetadata: same ? yes : no } };
    },
  },
  {
    name: "conditional put, twice",
    writes: true,
    run: async (trial) => {
      const key = trial.key("conditional");
      const put = (bytes: Uint8Array) => trial.put(key, bytes, { createOnly: true });
      try {
        await put(small);
      } catch (error) {
        if (isOperationalError(error, "unsupported")) return { seen: { conditionalPut: no } };
        throw error;
      }
      const kept = await wasRefused(put(other));
      await trial.expect(key, kept ? small : other);
      return { seen: { conditionalPut: kept ? yes : no } };
    },
  },
  {
    name: "longest key",
    writes: true,
    run: async (trial) => {
      const { keyBytesMax } = trial.driver.capabilities;
      const name = longName(keyBytesMax - Buffer.byteLength(trial.prefix));
      const key = trial.key(name);
      await trial.put(key, other);
      await trial.expect(key, other);
      return { seen: { keyBytesMax: `${Buffer.byteLength(key)} bytes` } };
    },
  },
  {
    name: "parts",
    writes: true,
    offered: ({ driver }) => driver.parts !== undefined,
    run: async (trial) => {
      const key = trial.key("parts");
      const { bytes, parts, complete } = await partsOf(trial, key);
      await missing(trial, key);
      const head = await complete({});
      if (head.length !== bytes.length) throw new Error(`it holds ${head.length} bytes`);
      await trial.expect(key, bytes);
      return { seen: { parts: yes }, detail: `${parts.length} parts, the last one first` };
    },
  },
  {
    name: "conditional complete",
    writes: true,
    offered: ({ driver }) => driver.parts !== undefined,
    run: async (trial) => {
      const key = trial.key("parts");
      const { complete } = await partsOf(trial, key);
      try {
        const kept = await wasRefused(complete({ createOnly: true }));
        return { seen: { conditionalComplete: kept ? yes : no } };
      } catch (error) {
        if (isOperationalError(error, "unsupported")) return { seen: { conditionalComplete: no } };
        throw error;
      }
    },
  },
  {
    name: "cancelled upload leaves nothing",
    writes: true,
    offered: ({ driver }) => driver.parts !== undefined,
    run: async (trial) => {
      const { driver, signal } = trial;
      const key = trial.key("cancelled");
      const { upload } = await partsOf(trial, key);
      await driver.parts?.cancel(upload, { signal });
      await missing(trial, key);
      for await (const pending of driver.parts?.listPending(key, { signal }) ?? []) {
        if (pending.token === upload.token) throw new Error("the upload is still pending");
      }
    },
  },
  {
    name: "append",
    writes: true,
    offered: ({ driver }) => driver.parts?.append !== undefined,
    run: async (trial) => {
      const { driver, signal } = trial;
      const { parts } = driver;
      if (parts?.append === undefined) return;
      const key = trial.key("appended");
      const options = { signal, partBytes: Math.max(parts.partBytesMin, 64 * 1024) };
      const upload = trial.upload(await parts.create(key, options));
      const append = (offset: number, bytes: Uint8Array) =>
        parts.append?.(
          upload,
          offset,
          (async function* () {
            yield bytes;
          })(),
          { signal },
        );
      await append(0, small.subarray(0, 30_000));
      // Again from before its end, as after an answer that was lost.
      const offset = await append(20_000, small.subarray(20_000));
      if (offset !== small.length) throw new Error(`it holds ${offset} bytes`);
      await parts.complete(upload, [], { signal, length: small.length });
      await trial.expect(key, small);
      return { seen: { append: yes } };
    },
  },
  {
    name: "copy",
    writes: true,
    offered: ({ driver }) => driver.copy !== undefined,
    run: async (trial) => {
      const { driver, signal } = trial;
      const to = trial.key("copy");
      await driver.copy?.(trial.key("small"), to, { signal });
      await trial.expect(to, small);
      return { seen: { copy: yes } };
    },
  },
  {
    name: "presign",
    writes: true,
    offered: ({ driver }) => driver.presign !== undefined,
    run: async (trial) => {
      const { driver, signal } = trial;
      if (driver.presign === undefined) return;
      const expiresAt = new Date(Date.now() + 5 * 60_000);
      const key = trial.key("presigned");
      const presigned = (grant: Grant) => driver.presign?.(grant, { signal });
      const contentType = "application/octet-stream";
      const { length } = other;
      await send(await presigned({ verb: "put", key, expiresAt, length, contentType }), {
        signal,
        body: other,
      });
      await trial.expect(key, other);
      assertSame(await send(await presigned({ verb: "get", key, expiresAt }), { signal }), other);
      return { seen: { presign: yes } };
    },
  },
  {
    name: "space",
    offered: ({ driver }) => driver.space !== undefined,
    run: async ({ driver, signal }) => {
      const space = await driver.space?.({ signal });
      if (space === undefined) return;
      const percent = Math.round((100 * space.bytesFree) / Math.max(1, space.bytesTotal));
      return { detail: `${percent} % free` };
    },
  },
  {
    name: "delete, twice",
    short: true,
    writes: true,
    run: async (trial) => {
      const { driver, signal } = trial;
      const key = trial.key("small");
      await driver.delete(key, { signal });
      await missing(trial, key);
      await driver.delete(key, { signal });
    },
  },
];
