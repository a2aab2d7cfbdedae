/** Who waits for another must not give up first: such configurations are refused, with both options. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "./config/index.ts";
import { parseServerConfig, serverConfig } from "./server-config.ts";

const refused: Readonly<Record<string, readonly [object, RegExp]>> = {
  "work longer than the gateway waits": [
    { http: { gatewayMsMax: "30 s", workMsMax: "60 s" } },
    /^http\.workMsMax: 1 min is longer than http\.gatewayMsMax, 30 s: work would go on[^\n]*$/,
  ],
  "work longer than the whole request": [
    { http: { transferMsMax: "30 s", workMsMax: "60 s" } },
    /http\.workMsMax: 1 min is longer than http\.transferMsMax, 30 s/,
  ],
  "a question about a session longer than work": [
    { http: { workMsMax: "1 s" }, parse: { sessionMsMax: "5 s" } },
    /parse\.sessionMsMax: .* is longer than http\.workMsMax, 1 s/,
  ],
  "a question about a session longer than work that the gateway cuts": [
    { http: { gatewayMsMax: "2 s" }, parse: { sessionMsMax: "5 s" } },
    /^parse\.sessionMsMax: 5 s is longer than what http\.gatewayMsMax leaves for http\.workMsMax, 1\.8 s: [^\n]*$/,
  ],
};

for (const [what, [input, message]] of Object.entries(refused)) {
  test(`${what} is refused with both options`, () => {
    assert.throws(
      () => parseServerConfig(input),
      (error: Error) => {
        const issues: { path: string[]; message: string }[] = JSON.parse(error.message);
        const text = issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("\n");
        assert.match(text, message);
        return true;
      },
    );
  });
}

test("what nobody set gives way: work of 3 s alone is taken", () => {
  assert.equal(parseServerConfig({ http: { workMsMax: "3 s" } }).parse.sessionMsMax, undefined);
});

for (const [what, input, workMsMax] of [
  ["60 s", {}, 60_000],
  ["60 s beside a longer gateway", { gatewayMsMax: "100 s" }, 60_000],
  ["what a gateway of 60 s leaves", { gatewayMsMax: "60 s" }, 59_500],
  ["what a gateway of 30 s leaves", { gatewayMsMax: "30 s" }, 29_500],
  ["what a gateway of 1 s leaves", { gatewayMsMax: "1 s" }, 900],
  ["what the whole request has", { transferMsMax: "20 s" }, 20_000],
  ["the shortest of them", { transferMsMax: "20 s", gatewayMsMax: "10 s" }, 9_500],
  ["what was set, as long as the gateway", { workMsMax: "10 s", gatewayMsMax: "10 s" }, 10_000],
  ["what was set", { workMsMax: "90 s", gatewayMsMax: "2 min" }, 90_000],
] as const) {
  test(`the time for work is ${what}`, () => {
    assert.equal(parseServerConfig({ http: input }).http.workMsMax, workMsMax);
  });
}

test("the command line takes a gateway alone, and names what contradicts it", () => {
  const load = (...argv: string[]) => loadConfig(serverConfig, { argv, env: {} });
  const gateway = ["--http-gateway-ms-max", "30 s"];
  assert.equal(load(...gateway).http.workMsMax, 29_500);
  assert.throws(
    () => load(...gateway, "--http-work-ms-max", "40 s"),
    /http.work.?[mM]s.?[mM]ax: 40 s is longer than http\.gatewayMsMax, 30 s/,
  );
});
