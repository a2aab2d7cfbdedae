import assert from "node:assert/strict";
import { test } from "node:test";
import { isOperationalError } from "../core/errors.ts";
import type { Json } from "../core/ports/siblings.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { Relay } from "./relay.ts";
import { SiblingsLink } from "./siblings-link.ts";

/** A supervisor's relay and workers that reach it as over a channel: later, in order, as JSON. */
function team() {
  const relay = new Relay((topic) => ({ topic }));
  const copy = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value));
  const worker = (slot: number) => {
    let handle: (message: ToWorker) => void = () => {};
    let name = "";
    let dead = false;
    const send = (message: ToWorker): void => {
      const copied = copy(message);
      setImmediate(() => dead || handle(copied));
    };
    const receive = (message: FromWorker): void => {
      if (dead) return;
      if (message.kind === "hello") {
        name = message.name;
        relay.join(name, send);
      } else {
        relay.receive(name, message);
      }
    };
    const channel = {
      send: (message: FromWorker) => {
        const copied = copy(message);
        setImmediate(() => receive(copied));
      },
      onMessage: (given: (message: ToWorker) => void) => {
        handle = given;
      },
    };
    const siblings = new SiblingsLink(channel, { slot, count: 3 });
    const die = (): void => {
      dead = true;
      relay.leave(name);
    };
    /** Killed; the process goes when the promise settles. */
    const hang = (gone: Promise<void>): void => {
      dead = true;
      relay.abandon(name, gone);
    };
    return { siblings, die, hang };
  };
  return { relay, worker };
}

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await new Promise((done) => setImmediate(done));
};

const isUnavailable = (error: unknown) => isOperationalError(error, "unavailable");

test("each other worker answers once, with its name; one without a handler answers null", async () => {
  const { worker } = team();
  const [one, two, three] = [worker(1), worker(2), worker(3)];
  two.siblings.on("reading", async (blob, from) => ({ blob, from }));
  await settled();
  const answers = await one.siblings.ask("reading", "b1", { msMax: 60_000 });
  assert.deepEqual(
    answers.toSorted((a, b) => a.from.localeCompare(b.from)),
    [
      { from: two.siblings.self, answer: { blob: "b1", from: one.siblings.self } },
      { from: three.siblings.self, answer: null },
    ],
  );
});

test("who has no siblings gets no answers; who is asked by name answers alone", async () => {
  const { worker } = team();
  const one = worker(1);
  await settled();
  assert.deepEqual(await one.siblings.ask("t", null, { msMax: 60_000 }), []);
  const [two] = [worker(2), worker(3)];
  await settled();
  const { self } = two.siblings;
  const answers = await one.siblings.ask("t", null, { msMax: 60_000, of: self });
  assert.deepEqual(answers, [{ from: self, answer: null }]);
  assert.deepEqual(await one.siblings.ask("t", null, { msMax: 60_000, of: "2-gone" }), []);
  const own = await one.siblings.ask("t", null, { msMax: 60_000, of: "supervisor" });
  assert.deepEqual(own, [{ from: "supervisor", answer: { topic: "t" } }]);
});

test("a worker that lives and is silent, or fails, rejects the question; one that dies does not", async () => {
  const { worker } = team();
  const [one, two, three] = [worker(1), worker(2), worker(3)];
  const never = Promise.withResolvers<Json>();
  two.siblings.on("slow", () => never.promise);
  three.siblings.on("broken", () => {
    throw new Error("no");
  });
  await settled();
  await assert.rejects(one.siblings.ask("slow", 1, { msMax: 20 }), isUnavailable);
  await assert.rejects(one.siblings.ask("broken", 1, { msMax: 60_000 }), isUnavailable);
  const asked = one.siblings.ask("slow", 1, { msMax: 60_000 });
  await settled();
  two.die();
  assert.deepEqual(await asked, [{ from: three.siblings.self, answer: null }]);
});

test("one that was killed and cannot go is not dead to who asks for it, and no answer is missed of it else", async () => {
  const { worker } = team();
  const [one, two, three] = [worker(1), worker(2), worker(3)];
  await settled();
  const gone = Promise.withResolvers<void>();
  two.hang(gone.promise);
  const { self } = two.siblings;
  await assert.rejects(one.siblings.ask("t", null, { msMax: 60_000, of: self }), isUnavailable);
  const answers = await one.siblings.ask("t", null, { msMax: 60_000 });
  assert.deepEqual(answers, [{ from: three.siblings.self, answer: null }]);
  gone.resolve();
  await settled();
  assert.deepEqual(await one.siblings.ask("t", null, { msMax: 60_000, of: self }), []);
});

test("what one tells arrives at all others, in order", async () => {
  const { worker } = team();
  const [one, two, three] = [worker(1), worker(2), worker(3)];
  const heard: string[] = [];
  for (const { siblings } of [one, two, three]) {
    siblings.on("gone", (message, from) => {
      heard.push(`${siblings.self} ${String(message)} ${from}`);
      return null;
    });
  }
  await settled();
  one.siblings.tell("gone", 1);
  one.siblings.tell("gone", 2);
  await settled();
  const { self } = one.siblings;
  const expected = [two, three].flatMap(({ siblings }) =>
    [1, 2].map((message) => `${siblings.self} ${message} ${self}`),
  );
  assert.deepEqual(heard.toSorted(), expected.toSorted());
});

test("one leads at a time; the next begins once the first has settled, or is dead", async () => {
  const { worker } = team();
  const workers = [worker(1), worker(2), worker(3)];
  const running = new Set<number>();
  const finish = new Map<number, () => void>();
  for (const [index, { siblings }] of workers.entries()) {
    siblings.lead(async (signal) => {
      running.add(index);
      const done = Promise.withResolvers<void>();
      finish.set(index, done.resolve);
      await done.promise;
      assert.ok(signal.aborted);
      running.delete(index);
    });
  }
  await settled();
  assert.deepEqual([...running], [0]);
  workers[0]?.siblings.beginStop();
  await settled();
  assert.deepEqual([...running], [0], "its task goes on, so nobody else begins");
  finish.get(0)?.();
  await settled();
  assert.deepEqual([...running], [1]);
  workers[2]?.siblings.beginStop();
  await settled();
  const late = worker(4);
  late.siblings.lead(async () => void running.add(3));
  running.delete(1);
  workers[1]?.die();
  await settled();
  assert.deepEqual([...running], [3], "not the one that is about to stop");
});

test("who leads runs later tasks at once", async () => {
  const { worker, relay } = team();
  const one = worker(1);
  const ran: string[] = [];
  const forever = new Promise<void>(() => {});
  one.siblings.lead(() => forever);
  await settled();
  one.siblings.lead(async () => void ran.push("second"));
  await settled();
  assert.deepEqual(ran, ["second"]);
  assert.equal(relay.leader, one.siblings.self);
});
