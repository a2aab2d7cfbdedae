import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { freeChunk } from "../core/ports/given-chunks.ts";
import { type AwsChunkedOptions, decodeAwsChunked } from "./aws-chunked.ts";
import { S3Refusal } from "./s3-refusal.ts";
import type { StreamingPayload } from "./signed-payload.ts";
import { verifySigV4 } from "./sigv4.ts";
import { exampleDate, exampleKey, exampleNow, frame, signing } from "./testing.ts";

const exampleData = Buffer.alloc(66_560, "a");
const exampleChunks = [exampleData.subarray(0, 65_536), exampleData.subarray(65_536)];

/** AWS's example "Transferring payload in multiple chunks", with and without its trailer. */
const examples = {
  plain: {
    hash: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    headers: { "content-length": "66824" },
    seed: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    chunks: [
      "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
      "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
      "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ],
    trailer: "",
  },
  trailer: {
    hash: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    headers: { "x-amz-trailer": "x-amz-checksum-crc32c" },
    seed: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    chunks: [
      "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
      "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
      "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ],
    trailer:
      "x-amz-checksum-crc32c:sOO8/Q==\r\n" +
      "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
  },
} as const;

type Example = (typeof examples)[keyof typeof examples];

/** As the request's own signature says it. */
async function payloadOf({ hash, headers, seed }: Example): Promise<StreamingPayload> {
  const all: Record<string, string> = {
    host: "s3.amazonaws.com",
    "content-encoding": "aws-chunked",
    "x-amz-content-sha256": hash,
    "x-amz-date": exampleDate,
    "x-amz-decoded-content-length": "66560",
    "x-amz-storage-class": "REDUCED_REDUNDANCY",
    ...headers,
  };
  const names = Object.keys(all).sort().join(";");
  const authorization = `AWS4-HMAC-SHA256 Credential=${signing().credential},SignedHeaders=${names},Signature=${seed}`;
  const { payload } = await verifySigV4(
    {
      method: "PUT",
      target: "/examplebucket/chunkObject.txt",
      rawHeaders: Object.entries({ ...all, authorization }).flat(),
    },
    { signerOf: async () => exampleKey, now: exampleNow },
  );
  assert(payload.kind === "streaming");
  return payload;
}

function exampleBody({ chunks: [first, second, last], trailer }: Example): Buffer {
  const [a = "", b = ""] = exampleChunks.map((chunk) => chunk.toString());
  return Buffer.from(
    `10000;chunk-signature=${first}\r\n${a}\r\n400;chunk-signature=${second}\r\n${b}\r\n` +
      `0;chunk-signature=${last}\r\n${trailer}\r\n`,
  );
}

/** In pieces of their own memory, since a decoder moves bytes about in them. */
async function* pieces(body: Uint8Array, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.length; at += bytes)
    yield new Uint8Array(body.subarray(at, at + bytes));
}

async function decode(body: Uint8Array, options: AwsChunkedOptions, bytes = 4096) {
  const decoded = decodeAwsChunked(pieces(body, bytes), options);
  const chunks: Uint8Array[] = [];
  for await (const chunk of decoded.body) chunks.push(chunk);
  return { data: Buffer.concat(chunks), trailers: decoded.trailers(), chunks };
}

const seed = examples.plain.seed;
const seeded = (trailer: boolean): StreamingPayload => {
  const scope = { keyId: exampleKey.id, day: "20130524", region: "us-east-1" };
  const { key } = signing();
  return {
    ...{ kind: "streaming", signed: true, trailer },
    seed: { key, scope, date: exampleDate, signature: seed },
  };
};
const unsigned: StreamingPayload = { kind: "streaming", signed: false, trailer: true };
const crc = "x-amz-checksum-crc32";

const isRefusal = (reason: string) => (error: unknown) =>
  error instanceof S3Refusal && error.reason === reason;

describe("AWS's published chunk signatures verify", () => {
  for (const [name, example] of Object.entries(examples)) {
    test(`${name}, cut anywhere`, async () => {
      const payload = await payloadOf(example);
      const trailer = example.trailer === "" ? {} : { trailer: "x-amz-checksum-crc32c" };
      for (const bytes of [1, 2, 3, 86, 1000, 65_536, 1 << 20]) {
        const options = { payload, length: 66_560, ...trailer };
        const { data, trailers } = await decode(exampleBody(example), options, bytes);
        assert(data.equals(exampleData), `pieces of ${bytes}`);
        const expected = example.trailer === "" ? [] : [["x-amz-checksum-crc32c", "sOO8/Q=="]];
        assert.deepEqual([...trailers], expected);
      }
    });
  }
});

describe("a signed body that was changed on the way is refused", () => {
  const good = exampleBody(examples.plain).toString();
  const [first, second, last] = examples.plain.chunks;
  const line = (size: string, signature: string) => `${size};chunk-signature=${signature}\r\n`;
  const zero = `${line("0", last)}\r\n`;
  const cases: readonly (readonly [string, string, string])[] = [
    ["one byte of the data", good.replace("aaaa", "aaab"), "SignatureDoesNotMatch"],
    ["a chunk's signature", good.replace(second, first), "SignatureDoesNotMatch"],
    ["the last chunk's signature", good.replace(last, first), "SignatureDoesNotMatch"],
    [
      "a chunk's size, and the bytes with it",
      good.replace("400;", "3ff;"),
      "SignatureDoesNotMatch",
    ],
    [
      "a chunk left out",
      good.replace(`${line("400", second)}${"a".repeat(1024)}\r\n`, ""),
      "SignatureDoesNotMatch",
    ],
    ["a chunk twice", good.replace(zero, `${good.slice(good.indexOf("400;"))}`), "IncompleteBody"],
    ["no last chunk", good.replace(zero, ""), "IncompleteBody"],
    ["no empty line at the end", good.slice(0, -2), "IncompleteBody"],
    ["more after the end", `${good}x`, "IncompleteBody"],
    [
      "no signature in a chunk's line",
      good.replace(`;chunk-signature=${first}`, ""),
      "IncompleteBody",
    ],
    ["a size that is not hexadecimal", good.replace("400;", "4g0;"), "IncompleteBody"],
    [
      "a trailer in the form without",
      good.replace(zero, `${line("0", last)}a:b\r\n\r\n`),
      "IncompleteBody",
    ],
  ];
  for (const [name, body, reason] of cases) {
    test(`${name}: ${reason}`, async () => {
      assert.notEqual(body, good);
      const payload = await payloadOf(examples.plain);
      await assert.rejects(
        decode(Buffer.from(body), { payload, length: 66_560 }),
        isRefusal(reason),
      );
    });
  }
});

describe("signed trailers", () => {
  const options = { payload: seeded(true), length: 5, trailer: crc };
  const good = frame(["hello"], { seed, trailer: `${crc}:NhCmhg==` }).toString();
  const cases: readonly (readonly [string, string, string])[] = [
    ["another value", good.replace("NhCmhg", "NhCmhh"), "SignatureDoesNotMatch"],
    ["another name", good.replace(crc, `${crc}c`), "SignatureDoesNotMatch"],
    [
      "a signature that is not hexadecimal",
      good.replace(/signature:./, "signature:z"),
      "SignatureDoesNotMatch",
    ],
    ["no signature", good.replace(/x-amz-trailer-signature:.*\r\n/, ""), "IncompleteBody"],
    ["no trailer", good.replace(/x-amz-checksum.*\r\n/, ""), "IncompleteBody"],
  ];
  test("verified, they are told", async () => {
    const { data, trailers } = await decode(Buffer.from(good), options);
    assert.equal(data.toString(), "hello");
    assert.deepEqual([...trailers], [[crc, "NhCmhg=="]]);
  });
  test("a bare line feed before the end of the line is not of the value", async () => {
    const { trailers } = await decode(Buffer.from(good.replace("==", "==\n")), options);
    assert.deepEqual([...trailers], [[crc, "NhCmhg=="]]);
  });
  for (const [name, body, reason] of cases) {
    test(`${name}: ${reason}`, async () => {
      assert.notEqual(body, good);
      await assert.rejects(decode(Buffer.from(body), options), isRefusal(reason));
    });
  }
});

describe("unsigned chunks with a trailer", () => {
  const trailer = `${crc}:NhCmhg==`;
  const options = { payload: unsigned, length: 5, trailer: crc };
  const cases: readonly (readonly [string, Buffer, AwsChunkedOptions, string])[] = [
    ["fewer bytes than declared", frame(["hell"], { trailer }), options, "IncompleteBody"],
    ["more bytes than declared", frame(["hello", "!"], { trailer }), options, "IncompleteBody"],
    ["no trailer where one was announced", frame(["hello"]), options, "MalformedTrailerError"],
    [
      "a trailer that nobody announced",
      frame(["hello"], { trailer }),
      { payload: unsigned, length: 5 },
      "MalformedTrailerError",
    ],
    [
      "another trailer than announced",
      frame(["hello"], { trailer: "x-amz-checksum-sha1:x" }),
      options,
      "MalformedTrailerError",
    ],
    [
      "a second trailer",
      frame(["hello"], { trailer: `${trailer}\r\nx-amz-checksum-sha1:x` }),
      options,
      "MalformedTrailerError",
    ],
    [
      "a signature in a chunk's line",
      frame(["hello"], { trailer, seed }),
      options,
      "IncompleteBody",
    ],
    [
      "the end in the middle of a chunk",
      frame(["hello"]).subarray(0, 5),
      options,
      "IncompleteBody",
    ],
    ["nothing at all", Buffer.alloc(0), options, "IncompleteBody"],
    ["a line without end", Buffer.alloc(100_000, "0"), options, "IncompleteBody"],
    ["a size beyond all numbers", Buffer.from(`${"f".repeat(16)}\r\nx`), options, "IncompleteBody"],
    ["a negative size", Buffer.from("-5\r\nhello\r\n0\r\n\r\n"), options, "IncompleteBody"],
  ];
  for (const [name, body, given, reason] of cases) {
    test(`${name}: ${reason}`, async () => {
      await assert.rejects(decode(body, given), isRefusal(reason));
    });
  }

  test("tiny chunks come out together, and no trailer is needed", async () => {
    const words = Array.from({ length: 500 }, (_, index) => `${index % 10}`.repeat(5));
    const given = { payload: unsigned, length: 2500 };
    for (const bytes of [1, 7, 4096]) {
      const { data, chunks } = await decode(frame(words), given, bytes);
      assert.equal(data.toString(), words.join(""));
      if (bytes === 4096) assert(chunks.length <= 2);
    }
  });

  test("an empty body is one zero chunk", async () => {
    const { data } = await decode(frame([]), { payload: unsigned, length: 0 });
    assert.equal(data.length, 0);
  });

  test("data comes out as memory of its own, to be freed by whoever stores it", async () => {
    const words = Array.from({ length: 20 }, () => "x".repeat(1000));
    const given = { payload: unsigned, length: 20_000 };
    const { body } = decodeAwsChunked(pieces(frame(words), 4096), given);
    let bytes = 0;
    for await (const chunk of body) {
      bytes += chunk.length;
      freeChunk(chunk);
      assert.equal(chunk.length, 0);
    }
    assert.equal(bytes, 20_000);
  });

  test("whoever stops reading ends the source", async () => {
    let ended = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield Buffer.from("5\r\nhel");
        yield Buffer.from("lo\r\n");
      } finally {
        ended = true;
      }
    }
    for await (const chunk of decodeAwsChunked(source(), options).body) {
      assert.equal(Buffer.from(chunk).toString(), "hel");
      break;
    }
    assert(ended);
  });
});
