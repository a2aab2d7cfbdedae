/** What the hook shows where nothing runs: on a server that renders. In a browser: `test/sdk/react.test.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { Roma } from "../node/roma.ts";
import { useUpload } from "./use-upload.ts";

test("rendered on a server it is idle, and begins nothing", async () => {
  await using roma = new Roma({ endpoint: "http://127.0.0.1:9" });
  const Component = () => {
    const { state, progress, notices } = useUpload(roma);
    return createElement("p", null, JSON.stringify({ state, progress, notices }));
  };
  const html = renderToString(createElement(Component)).replaceAll("&quot;", '"');
  assert.equal(html, '<p>{"state":"idle","notices":[]}</p>');
});
