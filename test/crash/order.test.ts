/** The order that durability rests on, as the kernel sees it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { put } from "../harness/http-client.ts";
import { startServer } from "../harness/server-process.ts";
import { attachTracer, readSteps, type Step } from "../harness/tracer.ts";
import { requirePrerequisite } from "../prerequisites.ts";

const syscalls = [
  ...["write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"],
  ...["fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat"],
];

test("PUT: file sync, rename, folder sync, metadata sync, answer, in this order", async (t) => {
  if (!requirePrerequisite(t, "strace")) return;
  const server = await startServer(t);
  await put(server, "warm-up", "so that only this request's calls are seen");
  const output = join(server.data, "trace");
  const tracer = await attachTracer({ id: server.pid, threads: "all", syscalls, output });
  const answer = await put(server, "ordered", Buffer.alloc(300_000, "bytes"));
  await tracer.detach();
  assert.equal(answer.status, 201);

  const steps = await readSteps(output);
  const find = (what: string, matches: (step: Step) => boolean): Step => {
    const found = steps.find(matches);
    assert.ok(found !== undefined, `${what} is in the trace`);
    return found;
  };
  const bytesWritten = steps.findLast(
    ({ syscall, arguments: text }) => /^pwrite/.test(syscall) && text.includes("/.roma/tmp/"),
  );
  assert.ok(bytesWritten !== undefined, "the bytes are written to a temporary file");
  const fileSync = find(
    "the sync of the temporary file",
    ({ syscall, arguments: text }) =>
      /^f(data)?sync$/.test(syscall) && text.includes("/.roma/tmp/"),
  );
  const rename = find(
    "the rename to the blob's name",
    ({ syscall, arguments: text }) =>
      /^(rename|link)/.test(syscall) && text.includes("/objects/b%/"),
  );
  const folderSync = find(
    "the sync of the blob's folder",
    ({ syscall, arguments: text }) =>
      syscall === "fsync" && /\/objects\/b%\/[0-9a-f]{16}%\/\d{8}%\/\d{4}%>/.test(text),
  );
  // Not the first of all: the server keeps facts of its own there now and then.
  const metadataSync = find(
    "the sync of the metadata after it",
    ({ syscall, arguments: text, begin }) =>
      /^f(data)?sync$/.test(syscall) &&
      text.includes("metadata.sqlite") &&
      begin > folderSync.begin,
  );
  const answered = find("the answer", ({ arguments: text }) => text.includes('"HTTP/1.1 201'));
  const order = { bytesWritten, fileSync, rename, folderSync, metadataSync, answered };
  const names = Object.keys(order);
  const inOrder = Object.values(order);
  for (const [index, step] of inOrder.slice(1).entries()) {
    const before = inOrder[index];
    assert.ok(
      before !== undefined && before.end < step.begin,
      `${names[index]} ends before ${names[index + 1]} begins`,
    );
  }
  const syncs = steps.filter(({ begin, arguments: text }) => {
    return begin > folderSync.begin && text.includes("/objects/");
  });
  for (const step of syncs) {
    assert.ok(step.end < metadataSync.begin, "no call on the storage comes after the commit began");
  }
});
