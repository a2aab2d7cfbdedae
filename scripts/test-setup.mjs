// Loaded into every Node process of a test run, the servers that tests start included (through
// NODE_OPTIONS, which `scripts/test.ts` sets). It reports what must never happen anywhere: too many
// listeners on an emitter, a rejection that nobody handled, and a test file that does not end. But
// for ending the last, it changes no behaviour of the process it watches; it makes its start and end shorter.
// Plain JavaScript, since tests also start tools under other versions of Node.
//
// A report is one line of JSON in the file that TEST_RUN_REPORT names; any such line fails the run.
// A test that provokes these on purpose starts its process without TEST_RUN_REPORT.
// (The names do not begin with ROMA_: a server refuses those that it does not know.)

import { appendFileSync } from "node:fs";
import * as nodeModule from "node:module";
import { isMainThread } from "node:worker_threads";

// Kysely is 256 modules, which every thread that opens a store resolves one by one: a quarter of what a
// start costs. Here it is the one that `scripts/test.ts` made of them.
const kysely = process.env.TEST_RUN_KYSELY;
const ownSources = new URL("../packages/server/src/", import.meta.url).href;
if (kysely !== undefined && kysely !== "" && "registerHooks" in nodeModule) {
  nodeModule.registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier !== "kysely" || context.parentURL?.startsWith(ownSources) !== true) {
        return nextResolve(specifier, context);
      }
      return { url: kysely, format: "module", shortCircuit: true };
    },
  });
}

const reportFile = process.env.TEST_RUN_REPORT;

/**
 * @param {string} what
 * @param {unknown} reason
 */
function report(what, reason) {
  const detail = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
  const thread = isMainThread ? "" : " (worker thread)";
  const program = process.argv.slice(1).join(" ") || process.execPath;
  appendFileSync(
    /** @type {string} */ (reportFile),
    `${JSON.stringify({ kind: "violation", what, program: program + thread, detail })}\n`,
  );
}

if (reportFile !== undefined && reportFile !== "") {
  process.on("warning", (warning) => {
    if (warning.name === "MaxListenersExceededWarning") report("too many listeners", warning);
  });
  process.on("unhandledRejection", (reason) => {
    report("unhandled rejection", reason);
    // Without this listener Node would end the process. The same happens with it, unless the
    // program has a listener of its own.
    if (process.listenerCount("unhandledRejection") === 1) throw reason;
  });

  const fileMsMax = Number(process.env.TEST_RUN_FILE_MS_MAX);
  if (isMainThread && fileMsMax > 0 && /\.test\.ts$/.test(process.argv[1] ?? "")) {
    // A process that ends by itself takes its environment apart, and there Node 26 was seen to spin for ever
    // (`Environment::CleanupHandles`) after everything else was over. `process.exit` does without.
    process.once("beforeExit", () => {
      process.on("exit", () => {
        nodeModule.flushCompileCache?.();
        process.exit();
      });
    });
    setTimeout(() => {
      const alive = process.getActiveResourcesInfo().join(", ");
      report(`no end after ${fileMsMax} ms`, `kept alive by ${alive === "" ? "nothing" : alive}`);
      process.exit(1);
    }, fileMsMax).unref();
  }
}
