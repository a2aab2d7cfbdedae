/** Who waits for another must not give up first: such configurations are refused, with both options. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "./config/index.ts";
import { parseServerConfig, serverConfig } from "./server-config.ts";

const refused: Readonly<Record<string, readonly [object, RegExp]>> = {
  "work longer than the gateway waits": [
    { http: { gatewayMsMax: "30 s" } },
    /http\.workMsMax: 1 min is longer than http\.gatewayMsMax, 30 s: work would go on/,
  ],
  "work longer than the whole request": [
    { http: { transferMsMax: "30 s" } },
    /http\.workMsMax: 1 min is longer than http\.transferMsMax, 30 s/,
  ],
  "a question about a session longer than work": [
    { http: { workMsMax: "1 s" }, parse: { sessionMsMax: "5 s" } },
    /parse\.sessionMsMax: .* is longer than http\.workMsMax, 1 s/,
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

test("limits in order are taken, and the command line names what is not", () => {
  const config = parseServerConfig({ http: { gatewayMsMax: "60 s" } });
  assert.equal(config.http.gatewayMsMax, 60_000);
  assert.throws(
    () => loadConfig(serverConfig, { argv: ["--http-gateway-ms-max", "30 s"], env: {} }),
    /http-work-ms-max|http\.workMsMax/,
  );
});
