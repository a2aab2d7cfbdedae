// Our driver's requests beside those of the vendors' own SDKs, both as they arrive at a server, at the
// same time of day: method, address, headers, signed text and signature are the same but for what the
// tables below name.

import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { type TestContext, test } from "node:test";
import { awsCalls, signedByTheSdkAlone } from "./aws.ts";
import { type CallName, callNames, methodOf, type StorageCalls, type Target } from "./calls.ts";
import { type Difference, findDifferences, proofs } from "./comparison.ts";
import { type Captured, Recorder, uploadId } from "./loopback.ts";
import { obsCalls } from "./obs.ts";
import { ossCalls } from "./oss.ts";
import { ourCalls, type Speech } from "./ours.ts";

const now = new Date("2026-01-02T03:04:05Z");
const text = "What is stored here.\n";
const key = "dir/é a+b%&=.!~*'(x)/last";
const contentType = "text/plain";
const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "SKEXAMPLEsecretSKEXAMPLE" };
const place = { bucket: "examplebucket", region: "cn-test-1" };

interface Vendor {
  readonly title: string;
  readonly speech: Speech;
  readonly proof: keyof typeof proofs;
  readonly open: (target: Target) => StorageCalls;
  readonly differences: readonly Difference[];
}

const userAgent = { what: "header user-agent", reason: "the SDK names itself" };
const lengthOfXml = { what: "header content-length", calls: ["complete"] } as const;
const xmlForm = { what: "form of the body", calls: ["complete"] } as const;
const sameParts = "another spelling of the same list of parts";
const closing = {
  what: "header connection",
  calls: ["head"],
  reason: "undici closes after a HEAD, whose answer may lie about its length",
} as const;
const order = { what: "order of the query", reason: "signatures sort it, and so do storages" };

const aws: Vendor = {
  title: "AWS's SDK",
  speech: { vendor: "aws-s3", signature: "s3" },
  proof: "sigv4",
  open: (target) => awsCalls(target, { levelled: true }),
  differences: [
    userAgent,
    closing,
    { what: "header x-amz-user-agent", reason: "the SDK names itself" },
    { what: "header amz-sdk-invocation-id", reason: "a random number of the SDK" },
    { what: "header amz-sdk-request", reason: "the SDK counts its tries" },
    {
      what: "encoding of query uploads",
      calls: ["create"],
      reason: "`uploads=`: what is signed has the equals sign in any case",
    },
    {
      what: "header content-type",
      calls: ["writePart"],
      reason: "the SDK invents one; a part has no type, that of the upload counts",
    },
    { ...xmlForm, reason: sameParts },
    { ...lengthOfXml, reason: sameParts },
    {
      what: "header x-amz-content-sha256",
      calls: ["complete"],
      reason: `the hash of ${sameParts}`,
      signed: /[0-9a-f]{64}/g,
    },
  ],
};

const oss: Vendor = {
  title: "Alibaba OSS's SDK",
  speech: { vendor: "alibaba-oss", signature: "native" },
  proof: "oss-v4",
  open: ossCalls,
  differences: [
    userAgent,
    closing,
    order,
    {
      what: "encoding of the path",
      reason: "the SDK sends !*() as they are and signs them encoded",
    },
    {
      what: "encoding of query uploads",
      calls: ["create"],
      reason: "the SDK sends `uploads=` and signs `uploads`",
    },
    { ...xmlForm, reason: sameParts },
    { ...lengthOfXml, reason: sameParts },
    {
      what: "header content-md5",
      calls: ["complete"],
      reason: "the SDK adds one to every body in memory; OSS asks for none",
      signed: /^content-md5:.*\n/m,
    },
  ],
};

const obs: Vendor = {
  title: "Huawei OBS's SDK",
  speech: { vendor: "huawei-obs", signature: "native" },
  proof: "obs",
  open: obsCalls,
  differences: [
    userAgent,
    closing,
    order,
    {
      what: "port of the host",
      reason: "the SDK names none; it stays unsigned, and has no default here",
    },
    {
      what: "encoding of query prefix",
      calls: ["list"],
      reason: "the SDK leaves slashes of a query as they are; the prefix is not signed",
    },
    {
      what: "header content-type",
      calls: ["put", "writePart", "complete"],
      reason: "the SDK says application/json of every body, whatever it is told, and none of XML",
      // The third line.
      signed: /(?<=^.*\n.*\n).*/,
    },
    { ...xmlForm, reason: sameParts },
    { ...lengthOfXml, reason: sameParts },
  ],
};

for (const vendor of [aws, oss, obs]) {
  test(`each request is that of ${vendor.title}, but for the differences named`, async (t) => {
    await using pair = await openPair(t, vendor);
    const seen = new Set<string>();
    for (const call of callNames) {
      const [ours, theirs] = [await pair.ours(call), await pair.theirs(call)];
      const found = findDifferences(ours, theirs);
      const named = vendor.differences.filter(({ calls }) => calls?.includes(call) ?? true);
      const names = new Set(named.map(({ what }) => what));
      const unnamed = Object.entries(found).filter(([what]) => !names.has(what));
      assert.deepEqual(Object.fromEntries(unnamed), {}, `${call} differs`);
      for (const what of Object.keys(found)) seen.add(`${call}: ${what}`).add(what);
      const signedParts = named.flatMap(({ what, signed }) =>
        signed === undefined || !(what in found) ? [] : [signed],
      );
      assertSameSignature(call, [prove(vendor, ours), prove(vendor, theirs)], signedParts);
    }
    for (const { what, calls } of vendor.differences) {
      const places = calls?.map((call) => `${call}: ${what}`) ?? [what];
      for (const place of places) assert.ok(seen.has(place), `no longer differs: ${place}`);
    }
  });
}

test("what AWS's SDK signs beyond our driver is what is named as such", async (t) => {
  const plain = { ...aws, open: (target: Target) => awsCalls(target, { levelled: false }) };
  await using pair = await openPair(t, plain);
  const beyond = new Set<string>();
  for (const call of ["put", "get", "writePart"] as const) {
    const [ours, theirs] = [await pair.ours(call), await pair.theirs(call)];
    const ownNames = signedNames(ours);
    for (const name of signedNames(theirs)) if (!ownNames.includes(name)) beyond.add(name);
    assert.match(theirs.query, /(^|&)x-id=\w+$/);
    const { signature, computed } = prove(plain, theirs);
    assert.equal(computed, signature, `${call}: our signature of the SDK's own request`);
  }
  assert.deepEqual([...beyond].sort(), Object.keys(signedByTheSdkAlone).sort());
});

function signedNames({ headers }: Captured): readonly string[] {
  return /SignedHeaders=([^,]+)/.exec(headers.authorization ?? "")?.[1]?.split(";") ?? [];
}

type Proved = ReturnType<typeof prove>;

function prove({ proof }: Vendor, request: Captured) {
  return proofs[proof](request, { ...place, credentials, at: now });
}

/** Each is the signature of its text, and the texts are the same but for the parts given. */
function assertSameSignature(
  call: CallName,
  [ours, theirs]: readonly [Proved, Proved],
  parts: readonly RegExp[],
): void {
  assert.notEqual(ours.signature, "", call);
  assert.equal(ours.signature, ours.computed, `${call}: our signature is not of that text`);
  assert.equal(theirs.signature, theirs.computed, `${call}: the SDK signs another text`);
  const rest = (text: string) => parts.reduce((left, part) => left.replace(part, ""), text);
  assert.equal(rest(ours.signedText), rest(theirs.signedText), `${call}: the signed text differs`);
  if (parts.length === 0) assert.equal(ours.signature, theirs.signature, call);
}

type Ask = (call: CallName) => Promise<Captured>;

async function openPair(
  t: TestContext,
  { speech, open }: Vendor,
): Promise<AsyncDisposable & { readonly ours: Ask; readonly theirs: Ask }> {
  t.mock.timers.enable({ apis: ["Date"], now });
  await using stack = new AsyncDisposableStack();
  const recorder = stack.use(await new Recorder(text, now).listen());
  const target = { ...place, ...credentials, endpoint: recorder.endpoint };
  const clock = { now: () => now, monotonicMs: () => performance.now() };
  const [ours, theirs] = [stack.use(ourCalls(speech, target, clock)), stack.use(open(target))];
  const asking = (calls: StorageCalls) => async (call: CallName) => {
    recorder.captured.length = 0;
    await run(call, calls);
    const made = recorder.captured.filter(({ method }) => method === methodOf[call]);
    // What the driver looks at besides, before and after, it asks for with another method.
    const [only = assert.fail(`no request for ${call}`), ...others] = made;
    assert.equal(others.length, 0, `several requests for ${call}`);
    return only;
  };
  const opened = stack.move();
  return {
    ours: asking(ours),
    theirs: asking(theirs),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function run(call: CallName, calls: StorageCalls): Promise<unknown> {
  const etag = createHash("md5").update(text).digest("hex");
  switch (call) {
    case "put":
      return await calls.put(key, text, contentType);
    case "get":
      return assert.equal(await calls.get(key, 5, 6), text.slice(5, 7));
    case "head":
      return await calls.head(key);
    case "delete":
      return await calls.delete(key);
    case "list":
      return await calls.list("dir/é a+b");
    case "create":
      return assert.equal(await calls.create(key, contentType), uploadId);
    case "writePart":
      return await calls.writePart(key, uploadId, 1, text);
    case "complete":
      return await calls.complete(key, uploadId, [{ partNumber: 1, length: text.length, etag }]);
    case "abort":
      return await calls.abort(key, uploadId);
    case "presignedGet":
      return await calls.presignedGet(key, 60, 'attachment; filename="a b.txt"');
    case "presignedPut":
      return await calls.presignedPut(key, 60, { text, contentType });
  }
}
