/** What a test has opened is closed after it in the opposite order, each in spite of the others. */
import type { TestContext } from "node:test";

const stacks = new WeakMap<TestContext, AsyncDisposableStack>();

export function cleanUp(t: TestContext, close: () => unknown): void {
  let stack = stacks.get(t);
  if (stack === undefined) {
    const made = new AsyncDisposableStack();
    stack = made;
    stacks.set(t, made);
    t.after(() => made.disposeAsync());
  }
  stack.defer(async () => {
    await close();
  });
}
