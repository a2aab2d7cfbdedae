/**
 * Every limit of a grant broken on every way in: refused, nothing visible, and nothing of it stored for long.
 * The same request within the limit goes through, so that a refusal is the limit's.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type GrantClaims, signGrant } from "../../packages/server/src/core/grants.ts";
import { type Clock, systemClock } from "../../packages/server/src/core/ports/clock.ts";
import { silentLog } from "../../packages/server/src/core/ports/log.ts";
import { type RunningServer, startServer } from "../../packages/server/src/server.ts";
import { parseServerConfig } from "../../packages/server/src/server-config.ts";
import {
  countGrants,
  eventuallyNothingLeftOver,
  readBlobRows,
  readUploadRows,
} from "../harness/data-folder.ts";
import { eventually } from "../harness/process-usage.ts";
import { source, type Way, waysIn } from "./ways-in.ts";

const signer = { keyId: "ROOTKEY", secret: "correct-horse-battery" };
const asRoot = { authorization: `Bearer ${signer.keyId}.${signer.secret}` };
const good = "hello";
const uuid = () => randomUUID();

let server: RunningServer;
let data: string;
let aheadMs = 0;
const opened = new AsyncDisposableStack();
const clock: Clock = {
  now: () => new Date(systemClock.now().getTime() + aheadMs),
  monotonicMs: () => systemClock.monotonicMs() + aheadMs,
};

before(async () => {
  data = await mkdtemp(join(tmpdir(), "roma-grants-"));
  opened.defer(() => rm(data, { recursive: true, force: true, maxRetries: 5 }));
  const config = parseServerConfig({
    ...{ data, port: 0, opsPort: 0, rootKey: `${signer.keyId}:${signer.secret}` },
    ...{ blobGrace: "0 ms", trash: { keep: "0 s" }, sweeper: { interval: "200 ms", age: "0 ms" } },
    uploads: { tidyInterval: "200 ms" },
  });
  server = opened.use(await startServer(config, { log: silentLog, clock }));
  await asOwner("PUT", "/v1/buckets/other");
  await asOwner("PUT", "/v1/buckets/open", JSON.stringify({ visibility: "public-read" }));
});
after(() => opened.disposeAsync());

async function asOwner(method: string, target: string, body?: string): Promise<Response> {
  const init = body === undefined ? {} : { body };
  const answer = await fetch(new URL(target, server.url), { method, headers: asRoot, ...init });
  assert.ok(answer.ok, `${method} ${target}: ${answer.status}`);
  return answer;
}

interface Attempt {
  readonly claims?: Partial<GrantClaims>;
  readonly bucket?: string;
  readonly key?: string;
  readonly text?: string;
  readonly endsMs?: number;
}

/** Within every limit of it. */
const limits = { minBytes: 3, maxBytes: 6, contentTypes: ["text/*"] };

async function attempt(way: Way, given: Attempt): Promise<boolean> {
  const { bucket = "demo", text = good, key, endsMs = 60_000 } = given;
  const actions = ["object:write"] as const;
  const keys = given.claims?.key ?? given.claims?.template ?? given.claims?.prefix;
  const where = keys === undefined ? { prefix: "in/" } : {};
  const claims = { bucket: "demo", actions, ...limits, ...where, ...given.claims };
  if (way.copies === true) {
    await asOwner("PUT", `/v1/objects/${source.bucket}/${source.key}`, text);
  }
  return await way.write({
    ...{ url: server.url, ...signer, bucket, text },
    token: signGrant(claims, signer, new Date(Date.now() + endsMs)),
    ...(key === undefined ? {} : { key }),
  });
}

/** Keys with versions, in both buckets that a grant may reach for. */
async function visible(): Promise<readonly string[]> {
  const lists = ["demo", "other"].map(async (bucket) => {
    const answer = await asOwner("GET", `/v1/objects/${bucket}`);
    const { objects } = (await answer.json()) as { objects: { key: string; version: string }[] };
    return objects.map(({ key, version }) => `${bucket}/${key} ${version}`);
  });
  return (await Promise.all(lists)).flat();
}

/** A key for ways that name theirs. */
const named = (way: Way, key: string) => (way.keys === "names" ? { key } : {});

/** What is asked for, and the same request within the limit; `undefined`: the way cannot ask for it. */
type Case = (way: Way) => { readonly broken: Attempt; readonly within: Attempt } | undefined;

const cases: Readonly<Record<string, Case>> = {
  maxBytes: (way) => {
    const at = named(way, `in/${uuid()}`);
    return { broken: { ...at, text: "1234567" }, within: { ...at, text: "123456" } };
  },
  minBytes: (way) => {
    const at = named(way, `in/${uuid()}`);
    return { broken: { ...at, text: "12" }, within: { ...at, text: "123" } };
  },
  contentTypes: (way) => {
    const at = named(way, `in/${uuid()}`);
    return { broken: { ...at, text: "%PDF-1" }, within: at };
  },
  actions: (way) => {
    const at = named(way, `in/${uuid()}`);
    return { broken: { ...at, claims: { actions: ["object:read"] } }, within: at };
  },
  methods: (way) => {
    const at = named(way, `in/${uuid()}`);
    const methods = ["PUT", "POST", "PATCH", "GET"];
    return {
      broken: { ...at, claims: { methods: ["DELETE"] } },
      within: { ...at, claims: { methods } },
    };
  },
  exp: (way) => {
    const at = named(way, `in/${uuid()}`);
    return { broken: { ...at, endsMs: -1_000 }, within: at };
  },
  bucket: (way) => {
    // The companion takes the bucket of the grant.
    if (way.name.startsWith("companion")) return undefined;
    const at = named(way, `in/${uuid()}`);
    return { broken: { ...at, bucket: "other" }, within: at };
  },
  prefix: (way) => {
    // What the companion signs for another key it signs for one of its own.
    if (way.keys === "made" || way.name.startsWith("companion")) return undefined;
    return { broken: { key: `out/${uuid()}` }, within: { key: `in/${uuid()}` } };
  },
  key: (way) => {
    if (way.keys === "made" || way.name.startsWith("companion")) return undefined;
    const claims = { key: `one/${uuid()}` };
    return { broken: { key: `${claims.key}x`, claims }, within: { key: claims.key, claims } };
  },
  template: (way) => {
    if (way.keys === "made" || way.name.startsWith("companion")) return undefined;
    const claims = { template: "t/{date}/{uuid}{ext}" };
    const key = `t/2026-01-31/${uuid()}.txt`;
    return { broken: { key: `t/2026-01-31/${uuid()}-x`, claims }, within: { key, claims } };
  },
  "template within prefix": (way) => {
    if (way.keys === "made" || way.name.startsWith("companion")) return undefined;
    const claims = { prefix: "u/7/", template: "u/7/{filename}" };
    return { broken: { key: "u/7/a/b", claims }, within: { key: `u/7/${uuid()}`, claims } };
  },
};

for (const [limit, make] of Object.entries(cases)) {
  describe(`a grant's ${limit}`, () => {
    for (const way of waysIn) {
      const made = make(way);
      if (made === undefined) continue;
      test(way.name, async () => {
        const before = await visible();
        assert.equal(await attempt(way, made.broken), false, "refused");
        assert.deepEqual(await visible(), before, "nothing is visible");
        assert.equal(await attempt(way, made.within), true, "the limit alone refused it");
        assert.equal((await visible()).length, before.length + 1);
      });
    }
  });
}

describe("a grant's count", () => {
  for (const way of waysIn) {
    test(way.name, async () => {
      const claims = { count: 2, jti: uuid() };
      const before = await visible();
      for (const expected of [true, true, false]) {
        assert.equal(await attempt(way, { ...named(way, `in/${uuid()}`), claims }), expected);
      }
      // One way's uses are every way's.
      for (const other of waysIn) {
        assert.equal(await attempt(other, { ...named(other, `in/${uuid()}`), claims }), false);
      }
      assert.equal((await visible()).length, before.length + 2);
    });
  }

  test("of requests at once, over all ways, as many succeed as it says", async () => {
    const claims = { count: 5, jti: uuid() };
    const before = await visible();
    const racing = waysIn
      .filter(({ copies }) => copies !== true)
      .map((way) => attempt(way, { ...named(way, `in/${uuid()}`), claims }));
    const succeeded = (await Promise.all(racing)).filter((ok) => ok);
    assert.equal(succeeded.length, 5);
    assert.equal((await visible()).length, before.length + 5);
  });

  test("what is refused takes none of it", async () => {
    const claims = { count: 1, jti: uuid() };
    for (const way of waysIn) {
      const at = { ...named(way, `in/${uuid()}`), claims };
      // An upload that can go on is there until it is aborted or expires, and keeps its use so long.
      if (/parts|part$|tus|IETF|^direct/.test(way.name)) continue;
      assert.equal(await attempt(way, { ...at, text: "%PDF-1" }), false, way.name);
    }
    assert.equal(await attempt(waysIn[0] as Way, { key: `in/${uuid()}`, claims }), true);
  });
});

describe("a template with {uuid} replaces nothing", () => {
  for (const way of waysIn.filter(({ keys }) => keys !== "made")) {
    test(way.name, async () => {
      const claims = { template: "v/{uuid}" };
      const key = `v/${uuid()}`;
      await asOwner("PUT", `/v1/objects/demo/${key}`, "the first");
      const before = await visible();
      assert.equal(await attempt(way, { key, claims }), false);
      assert.deepEqual(await visible(), before);
      const kept = await asOwner("GET", `/v1/objects/demo/${key}`);
      assert.equal(await kept.text(), "the first");
    });
  }
});

describe("the key that the server makes", () => {
  const shapes: readonly (readonly [Partial<GrantClaims>, RegExp])[] = [
    [{ template: "w/{year}/{uuid}{ext}" }, /^w\/\d{4}\/[0-9a-f-]{36}\.txt$/],
    [{ prefix: "w/" }, /^w\/[0-9a-f]{32}\/a\.txt$/],
  ];
  for (const way of waysIn.filter(({ keys }) => keys !== "names")) {
    test(way.name, async () => {
      for (const [claims, shape] of shapes) {
        const before = new Set(await visible());
        assert.equal(await attempt(way, { claims: { ...claims, context: { user: 7 } } }), true);
        const made = (await visible()).filter((entry) => !before.has(entry));
        assert.equal(made.length, 1);
        const key = (made[0] ?? "").split(" ")[0]?.slice("demo/".length) ?? "";
        // Its UUID and the rest, whichever way.
        assert.match(key, shape);
        const head = await asOwner("HEAD", `/v1/objects/demo/${key}`);
        assert.equal(head.headers.get("roma-context"), '{"user":7}');
      }
    });
  }
});

describe("the context of a grant", () => {
  for (const way of waysIn) {
    test(way.name, async () => {
      const key = `in/${uuid()}`;
      const claims = { context: { é: [1] }, actions: ["object:write", "object:read"] as const };
      const at = way.keys === "made" ? { claims: { ...claims, key } } : { key, claims };
      assert.equal(await attempt(way, at), true);
      const { headers } = await asOwner("HEAD", `/v1/objects/demo/${key}`);
      assert.equal(headers.get("roma-context"), '{"\\u00e9":[1]}');
      const listed = await asOwner("GET", `/v1/objects/demo?prefix=${key}`);
      const { objects } = (await listed.json()) as { objects: { context: unknown }[] };
      assert.deepEqual(objects[0]?.context, { é: [1] });
      // Whoever holds a grant is not told of others'.
      const ends = new Date(Date.now() + 60_000);
      const reading = { bucket: "demo", key, actions: ["object:read"] as const };
      const authorization = `Bearer ${signGrant(reading, signer, ends)}`;
      const asReader = await fetch(`${server.url}/v1/objects/demo/${key}`, {
        headers: { authorization },
      });
      assert.equal(asReader.status, 200);
      assert.equal(asReader.headers.get("roma-context"), null);
      await asReader.body?.cancel();
    });
  }
});

test("deleting many: each key is judged", async () => {
  const keys = ["t/2026-01-31/x", `t/2026-01-31/${uuid()}`];
  for (const key of keys) await asOwner("PUT", `/v1/objects/demo/${key}`, "x");
  const deleting = {
    bucket: "demo",
    template: "t/{date}/{uuid}",
    actions: ["object:delete"] as const,
  };
  const grant = signGrant(deleting, signer, new Date(Date.now() + 60_000));
  const answer = await fetch(`${server.url}/v1/objects/demo?delete&grant=${grant}`, {
    method: "POST",
    body: JSON.stringify({ keys }),
  });
  const { deleted, failed } = (await answer.json()) as {
    deleted: string[];
    failed: { key: string; code: string }[];
  };
  assert.deepEqual(deleted, [keys[1]]);
  assert.deepEqual(
    failed.map(({ key, code }) => [key, code]),
    [[keys[0], "access_denied"]],
  );
});

test("an upload keeps the terms of the grant that made it, whoever goes on with it", async () => {
  const bearer = (claims: Partial<GrantClaims>) => ({
    authorization: `Bearer ${signGrant(
      { bucket: "demo", prefix: "in/", actions: ["object:write"], ...claims },
      signer,
      new Date(Date.now() + 60_000),
    )}`,
    "tus-resumable": "1.0.0",
  });
  const made = await fetch(`${server.url}/tus/demo`, {
    method: "POST",
    headers: { ...bearer({ contentTypes: ["text/*"], maxBytes: 8 }), "upload-defer-length": "1" },
  });
  const location = made.headers.get("location") ?? "";
  const append = async (text: string, headers: Record<string, string>) =>
    await fetch(location, {
      method: "PATCH",
      headers: {
        ...headers,
        "upload-offset": "0",
        "content-type": "application/offset+octet-stream",
      },
      body: text,
    });
  const length = { ...bearer({}), "upload-length": "9" };
  assert.equal((await append("123456789", length)).status, 413);
  const before = await visible();
  assert.equal((await append("%PDF-1", { ...bearer({}), "upload-length": "6" })).status, 415);
  assert.deepEqual(await visible(), before);
});

test("a grant of a template lists no uploads, and a key lists them with their contexts", async () => {
  const list = async (authorization: string) => {
    const answer = await fetch(`${server.url}/v1/uploads?bucket=demo`, {
      headers: { authorization },
    });
    return (await answer.json()) as { uploads: { context?: unknown }[] };
  };
  const claims = { bucket: "demo", template: "z/{uuid}", actions: ["object:write"] as const };
  const signed = { ...claims, context: "seen" };
  const grant = `Bearer ${signGrant(signed, signer, new Date(Date.now() + 60_000))}`;
  const made = await fetch(`${server.url}/tus/demo`, {
    method: "POST",
    headers: { authorization: grant, "tus-resumable": "1.0.0", "upload-length": "5" },
  });
  assert.equal(made.status, 201);
  assert.deepEqual((await list(grant)).uploads, []);
  assert.ok((await list(asRoot.authorization)).uploads.some(({ context }) => context === "seen"));
});

test("of all that was refused nothing is stored a day later", async () => {
  assert.ok(
    readUploadRows(data).some(({ phase }) => phase === "receiving"),
    "something was left",
  );
  assert.ok(countGrants(data) > 0, "grants were counted");
  aheadMs += 25 * 60 * 60 * 1000;
  const open = () => readUploadRows(data).filter(({ phase }) => phase !== "complete");
  await eventually("no upload is open", () => open().length === 0);
  await eventually("no garbage is left", () =>
    readBlobRows(data).every(({ references }) => references > 0),
  );
  await eventuallyNothingLeftOver(data);
  await eventually("no use is remembered", () => countGrants(data) === 0);
});
