/** A grant at /parse: every limit of it holds there, in each shape that can carry one (JSON brings Parse's
 * own credentials), and nothing of what breaks it stays. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { type GrantClaims, signGrant } from "../../core/grants.ts";
import { key, type ParseTestServer, startParse } from "./testing.ts";

const signer = { keyId: key.id, secret: key.secret };
const limits = { minBytes: 3, maxBytes: 6, contentTypes: ["text/*"] };

interface Attempt {
  readonly claims?: Partial<GrantClaims>;
  readonly directory?: string;
  readonly text?: string;
  readonly endsMs?: number;
}

type Shape = (
  server: ParseTestServer,
  token: string,
  file: { readonly directory: string; readonly text: string },
) => Promise<number>;

const shapes: Readonly<Record<string, Shape>> = {
  bytes: async ({ call }, token, { directory, text }) => {
    const headers = { authorization: `Bearer ${token}`, "x-parse-file-directory": directory };
    return (await call("POST", "/parse/files/a.txt", { headers, body: text })).status;
  },
  stream: async ({ call }, token, { directory, text }) => {
    const headers = {
      authorization: `Bearer ${token}`,
      "x-parse-upload-mode": "stream",
      "x-parse-file-directory": directory,
    };
    const body = [Buffer.from(text.slice(0, 1)), Buffer.from(text.slice(1))];
    return (await call("POST", "/parse/files/a.txt", { headers, body })).status;
  },
  "bytes, the grant in the query": async ({ call }, token, { directory, text }) => {
    const headers = { "x-parse-file-directory": directory };
    return (await call("POST", `/parse/files/a.txt?grant=${token}`, { headers, body: text }))
      .status;
  },
};

const broken: Readonly<Record<string, Attempt>> = {
  maxBytes: { text: "1234567" },
  minBytes: { text: "12" },
  contentTypes: { text: "%PDF-1" },
  actions: { claims: { actions: ["object:read"] } },
  methods: { claims: { methods: ["DELETE"] } },
  exp: { endsMs: -1_000 },
  bucket: { claims: { bucket: "other" } },
  prefix: { directory: "out" },
};

async function attempt(shape: Shape, server: ParseTestServer, given: Attempt): Promise<boolean> {
  const { directory = "in", text = "hello", endsMs = 60_000 } = given;
  const where = { bucket: "parse", prefix: "in/", actions: ["object:write"] as const };
  const claims = { ...where, ...limits, ...given.claims };
  const token = signGrant(claims, signer, new Date(Date.now() + endsMs));
  const status = await shape(server, token, { directory, text });
  assert.ok(status < 500, `${status}`);
  return status === 201;
}

for (const [name, shape] of Object.entries(shapes)) {
  describe(name, () => {
    test("within a grant's limits it is stored, beyond any of them nothing is", async (t) => {
      const server = await startParse(t);
      assert.equal(await attempt(shape, server, {}), true);
      const kept = await server.keys();
      const stored = await server.blobs();
      for (const [limit, given] of Object.entries(broken)) {
        assert.equal(await attempt(shape, server, given), false, limit);
        assert.deepEqual(await server.keys(), kept, limit);
        assert.equal(await server.blobs(), stored, limit);
      }
    });

    test("a grant's count is counted", async (t) => {
      const server = await startParse(t);
      const claims = { count: 2, jti: randomUUID() };
      for (const expected of [true, true, false]) {
        assert.equal(await attempt(shape, server, { claims }), expected);
      }
      assert.equal((await server.keys()).length, 2);
    });
  });
}
