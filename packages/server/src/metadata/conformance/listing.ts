/** Conformance: listing by prefix and delimiter, page by page, against a plain model of it. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { ListQuery, MetadataStore } from "../../core/ports/metadata-store.ts";
import {
  author,
  bucket,
  deletedAt,
  garbageDueAt,
  type OpenStore,
  oddKeys,
  openWithBucket,
  put,
  putAll,
  sortedByBytes,
} from "../conformance-samples.ts";

const all: ListQuery = { bucket: "b", prefix: "", delimiter: "", limit: 1000 };

/** What a page shows, objects and grouped prefixes as one list in their order. */
type Items = readonly string[];

export function listingTests(open: OpenStore): void {
  test("2,500 keys are listed once each, in byte order, whatever the page's size", async (t) => {
    await using store = await openWithBucket(open, t);
    await store.createBucket(bucket("c"), { author });
    const keys = Array.from({ length: 2500 }, (_, index) => `k/${index % 7}/${index}`);
    await putAll(store, keys);
    await put(store, "k/0/other", { bucket: "c" });
    const sorted = sortedByBytes(keys);
    for (const limit of [1000, 999, 2499, 2500, 2501, 5000]) {
      assert.deepEqual(await walk(store, { ...all, limit }), sorted);
    }
    const exact = await store.listObjects({ ...all, limit: 2500 });
    assert.equal(exact.next, undefined);
    assert.equal((await store.listObjects({ ...all, limit: 2499 })).next, sorted[2498]);
    for (const limit of [1, 2, 3, 6, 7, 8]) {
      const groups = await walk(store, { ...all, prefix: "k/", delimiter: "/", limit });
      assert.deepEqual(groups, ["k/0/", "k/1/", "k/2/", "k/3/", "k/4/", "k/5/", "k/6/"]);
    }
    const seven = { ...all, prefix: "k/", delimiter: "/", limit: 7 };
    assert.equal((await store.listObjects(seven)).next, undefined);
    assert.equal((await store.listObjects({ ...seven, limit: 6 })).next, "k/5/");
    assert.equal((await walk(store, { ...all, prefix: "k/3/", delimiter: "/" })).length, 357);
  });

  test("odd keys are listed as a model lists them, for every prefix, delimiter and page size", async (t) => {
    await using store = await openWithBucket(open, t);
    const keys = [...oddKeys, ...groupedKeys];
    await putAll(store, keys);
    const sorted = sortedByBytes(keys);
    for (const prefix of prefixes) {
      for (const delimiter of ["", "/", "::", "\u{1f600}", "\u{10ffff}", "x", "absent"]) {
        const expected = itemsOf(sorted, { ...all, prefix, delimiter });
        for (const limit of [1, 3, 1000]) {
          const query = { ...all, prefix, delimiter, limit };
          assert.deepEqual(await walk(store, query), expected, JSON.stringify(query));
        }
      }
    }
  });

  test("after shows only what is greater: from any key, group, or place within a group", async (t) => {
    await using store = await openWithBucket(open, t);
    const keys = [...oddKeys, ...groupedKeys];
    await putAll(store, keys);
    const sorted = sortedByBytes(keys);
    const places = [...prefixes, ...groupedKeys, "g/a/0", "g/a/zzz", "g/b", "g/~", "\u{1f601}"];
    for (const after of places) {
      for (const [prefix, delimiter] of [
        ["", ""],
        ["", "/"],
        ["g/", "/"],
        ["g/", ""],
        ["g::", "::"],
        ["\u{1f600}", "/"],
      ] as const) {
        const query = { ...all, prefix, delimiter, after };
        const page = await store.listObjects(query);
        assert.deepEqual(itemsIn(page), itemsOf(sorted, query), JSON.stringify(query));
      }
    }
  });

  test("a page of no items is empty and the last; so is one of a bucket that is not there", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k");
    const empty = { objects: [], prefixes: [] };
    assert.deepEqual(await store.listObjects({ ...all, limit: 0 }), empty);
    assert.deepEqual(await store.listObjects({ ...all, bucket: "absent" }), empty);
    assert.deepEqual(await store.listObjects({ ...all, prefix: "none" }), empty);
    assert.deepEqual(await store.listObjects({ ...all, after: "k" }), empty);
  });

  test("a listed object is the whole record", async (t) => {
    await using store = await openWithBucket(open, t);
    await put(store, "k", { userMetadata: { a: "b" } });
    const { objects } = await store.listObjects(all);
    assert.deepEqual(objects, [await store.headObject("b", "k")]);
  });

  test("walking pages while keys come and go shows every key that stayed, once", async (t) => {
    await using store = await openWithBucket(open, t);
    const stable = Array.from({ length: 300 }, (_, index) => `k${String(index).padStart(3, "0")}`);
    await Promise.all(stable.map((key) => put(store, `${key}/stays`)));
    for (const delimiter of ["", "/"]) {
      const seen: string[] = [];
      let after: string | undefined;
      for (let page = 0; ; page += 1) {
        const query = { ...all, delimiter, limit: 37 };
        const answer = await store.listObjects(after === undefined ? query : { ...query, after });
        seen.push(...itemsIn(answer).filter((item) => !item.includes("comes")));
        if (answer.next === undefined) break;
        after = answer.next;
        // The place itself may go, and others may come on both sides of it.
        await put(store, `a-comes-${page}`);
        await put(store, `${after}-comes`);
        await store.deleteObject("b", `a-comes-${page - 1}`, { deletedAt, author, garbageDueAt });
        if (delimiter === "")
          await store.deleteObject("b", after, { deletedAt, author, garbageDueAt });
        else await store.deleteObject("b", `${after}-comes`, { deletedAt, author, garbageDueAt });
      }
      const expected = stable.map((key) => (delimiter === "" ? `${key}/stays` : `${key}/`));
      assert.deepEqual(seen, expected);
      await Promise.all(stable.map((key) => put(store, `${key}/stays`)));
    }
  });

  test("a page of groups costs about the same however many keys the groups hold", async (t) => {
    await using store = await openWithBucket(open, t);
    const keys = Array.from({ length: 20_000 }, (_, index) => `big-${index % 2}/${index}`);
    await putAll(store, [...keys, "one/1", "two/1"]);
    const msOf = async (query: ListQuery, items: number): Promise<number> => {
      const startedAt = performance.now();
      assert.equal(itemsIn(await store.listObjects(query)).length, items);
      return performance.now() - startedAt;
    };
    // In turn, and the fastest of each: what else the machine does makes some of them slow.
    let grouped = Number.POSITIVE_INFINITY;
    let wholePage = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 9; round += 1) {
      grouped = Math.min(grouped, await msOf({ ...all, delimiter: "/" }, 4));
      wholePage = Math.min(wholePage, await msOf(all, 1000));
    }
    // Walking the groups would read 20 pages' worth of rows; seeking reads some tens of rows.
    assert.ok(grouped < wholePage * 2, `${grouped} ms for groups, ${wholePage} ms for 1,000 keys`);
  });
}

const groupedKeys: Items = [
  "g",
  "g/",
  "g/a",
  "g/a/",
  "g/a/1",
  "g/a/2",
  "g/a0",
  "g/b/1",
  "g//1",
  "g//2",
  "g0",
  "g::a",
  "g::a::1",
  "g::a::2",
  "g:a",
  "g:::a",
  "g\u{1f600}1",
  "g\u{1f600}2",
  "g\u{1f601}",
  "\u{10ffff}/1",
  "\u{10ffff}/2",
  "\u{10ffff}\u{10ffff}/1",
  "\ud7ff/1",
  "\ue000/1",
  "\u{1f600}/1",
  "\u{1f600}/2",
  "/",
  "//",
];

const prefixes: Items = [
  "",
  "g",
  "g/",
  "g/a",
  "g/a/",
  "g/z",
  "g::",
  "g:",
  "/",
  "//",
  "a",
  "A",
  "\u{1f600}",
  "\ud7ff",
  "\ue000",
  "\uff5e",
  "\uffff",
  "\u{10ffff}",
  "\u{10ffff}\u{10ffff}",
  "e",
  "__proto__",
  "50%",
  "\u0001",
  "zzz",
];

/** The model: all keys in order, those not after dropped, groups shown once. */
function itemsOf(sorted: readonly string[], query: ListQuery): Items {
  const { prefix, delimiter, after } = query;
  const items: string[] = [];
  for (const key of sorted) {
    if (!key.startsWith(prefix)) continue;
    const rest = key.slice(prefix.length);
    const index = delimiter === "" ? -1 : rest.indexOf(delimiter);
    const item = index === -1 ? key : prefix + rest.slice(0, index + delimiter.length);
    if (after !== undefined && Buffer.compare(Buffer.from(item), Buffer.from(after)) <= 0) continue;
    if (items.at(-1) !== item) items.push(item);
  }
  return items;
}

/** Objects and prefixes of a page, merged in order. */
function itemsIn(page: Awaited<ReturnType<MetadataStore["listObjects"]>>): string[] {
  return sortedByBytes([...page.objects.map(({ key }) => key), ...page.prefixes]);
}

/** All pages, each checked to be within the limit, in order, and ended exactly. */
async function walk(store: MetadataStore, query: ListQuery): Promise<string[]> {
  const items: string[] = [];
  let after = query.after;
  for (;;) {
    const page = await store.listObjects(after === undefined ? query : { ...query, after });
    const found = itemsIn(page);
    assert.ok(found.length <= query.limit, "no more than the limit");
    assert.ok(found.length > 0 || items.length === 0, "no empty page after a `next`");
    items.push(...found);
    if (page.next === undefined) return items;
    assert.equal(found.length, query.limit, "a page with a `next` is full");
    assert.equal(page.next, found.at(-1), "`next` is the last item");
    after = page.next;
  }
}
