/** What direct uploads by a form promise where a storage takes the form itself. */
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import type { DirectView } from "../../packages/server/src/core/direct/index.ts";
import { forward, forwardParts } from "../../packages/server/src/storage/layers/forward.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { digest, type OpenDriver, openDirect } from "./direct.ts";
import { code } from "./direct-cases.ts";

const execute = promisify(execFile);
const MiB = 1024 ** 2;

interface Changed {
  readonly fields?: Readonly<Record<string, string>>;
}

async function post(upload: DirectView, bytes: Uint8Array<ArrayBuffer>, { fields }: Changed = {}) {
  const { form } = upload;
  assert(form?.to === "storage");
  const body = new FormData();
  for (const [name, value] of Object.entries(fields ?? form.fields)) body.append(name, value);
  body.append("file", new Blob([bytes]), "name.bin");
  const answer = await fetch(form.url, { method: "POST", body });
  await answer.arrayBuffer();
  return answer.status;
}

function fieldsOf({ form }: DirectView): Readonly<Record<string, string>> {
  assert(form?.to === "storage");
  return form.fields;
}

export function describeForms(name: string, open: OpenDriver): void {
  describe(`direct uploads by a form, ${name}`, () => {
    test("curl posts it, it becomes an object, and whoever posts it later changes nothing", async (t) => {
      const core = await openDirect(t, open);
      const bytes = randomBytes(300_001);
      const upload = await core.begin({ length: bytes.length, form: true });
      assert.deepEqual([upload.via, upload.requests], ["storage", []]);
      await assert.rejects(core.complete(upload.id), code("invalid_part", "missing"));
      const file = join(await temporaryFolder(t), "a file");
      await writeFile(file, bytes);
      const fields = Object.entries(fieldsOf(upload)).flatMap(([key, value]) => [
        "--form-string",
        `${key}=${value}`,
      ]);
      assert(upload.form?.to === "storage");
      const args = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", ...fields];
      const sent = await execute("curl", [...args, "--form", `file=@${file}`, upload.form.url]);
      assert.equal(sent.stdout, "201");
      assert.equal(await core.read("k"), undefined, "no object before");
      const { object } = await core.complete(upload.id);
      assert.deepEqual(await core.read("k"), bytes);
      assert.equal((await core.stored()).blobs, 1, "what the form brought is gone");
      assert.equal(await post(upload, randomBytes(bytes.length)), 201, "the form is still good");
      assert.deepEqual(await core.read("k"), bytes);
      const again = await core.complete(upload.id);
      assert.deepEqual([again.replayed, again.object.version], [true, object.version]);
      assert.deepEqual(await core.read("k"), bytes);
      // What came too late is known as garbage, and due when nobody can post it any more.
      await core.sweeper.sweep();
      assert.deepEqual(await core.read("k"), bytes);
      const due = async (dueBefore: Date) =>
        await core.metadata.listGarbage({ dueBefore, limit: 9 });
      assert.deepEqual(await due(upload.form.expiresAt), []);
      const [staged, ...others] = await due(new Date(Date.now() + 365 * 86_400_000));
      assert.deepEqual([staged?.blobKey, others], [fieldsOf(upload).key, []]);
    });

    test("another length, type or key is refused by the storage; what was posted last counts", async (t) => {
      const core = await openDirect(t, open);
      const bytes = randomBytes(50_000);
      const upload = await core.begin({
        ...{ length: bytes.length, form: true, contentType: "image/x-test" },
      });
      const fields = fieldsOf(upload);
      const refused = async (given: Uint8Array<ArrayBuffer>, changed: object = {}) => {
        const status = await post(upload, given, { fields: { ...fields, ...changed } });
        assert.ok(status >= 400 && status < 500, `${status} ${JSON.stringify(changed)}`);
      };
      await refused(randomBytes(bytes.length + 1));
      await refused(randomBytes(bytes.length - 1));
      await refused(bytes, { "Content-Type": "text/html" });
      await refused(bytes, { key: `${fields.key}2` });
      assert.deepEqual((await core.stored()).blobs, 0);
      assert.equal(await post(upload, randomBytes(bytes.length)), 201);
      assert.equal(await post(upload, bytes), 201);
      await core.complete(upload.id, { digests: { sha256: digest("sha256", bytes) } });
      assert.deepEqual(await core.read("k"), bytes);
    });

    test("a long form is copied part by part, of one posting", async (t) => {
      let before: () => Promise<void> = async () => {};
      const core = await openDirect(t, open, {
        wrap: (driver) =>
          forward(driver, {
            parts: (parts) => {
              return forwardParts(parts, {
                copyPart: async (upload, number, source, call) => {
                  if (number === 2) await before();
                  assert(parts.copyPart !== undefined);
                  return await parts.copyPart(upload, number, source, call);
                },
              });
            },
          }),
      });
      const bytes = randomBytes(12 * MiB + 5);
      const other = randomBytes(bytes.length);
      const upload = await core.begin({ length: bytes.length, form: true, partBytes: 5 * MiB });
      assert.equal(upload.partCount, 3);
      assert.equal(await post(upload, bytes), 201);
      before = async () => {
        before = async () => {};
        assert.equal(await post(upload, other), 201);
      };
      // A storage that compares the tag refuses the part; else it is seen at the end.
      await assert.rejects(core.complete(upload.id), code("locked"));
      assert.equal(await core.read("k"), undefined);
      await core.complete(upload.id);
      assert.deepEqual(await core.read("k"), other);
      assert.deepEqual(await core.stored(), { blobs: 1, pending: 0 });
    });

    test("other bytes than were declared end the upload, and nothing of it stays", async (t) => {
      const core = await openDirect(t, open);
      const bytes = randomBytes(20_000);
      const digests = { sha256: digest("sha256", bytes) };
      const upload = await core.begin({ length: bytes.length, form: true, digests });
      assert.equal(await post(upload, randomBytes(bytes.length)), 201);
      await assert.rejects(core.complete(upload.id), code("checksum_mismatch"));
      await core.upkeep.round();
      await core.sweeper.sweep();
      assert.deepEqual(await core.stored(), { blobs: 0, pending: 0 });
      // Nothing can be made of no bytes within the storage: those come by the server.
      assert.equal((await core.begin({ length: 0, form: true })).via, "server");
    });
  });
}
