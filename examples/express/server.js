// A backend with Express: its users get grants for their own folder, and upload with Uppy.
import { mintGrant } from "@roma/sdk/server";
import { build } from "esbuild";
import express from "express";

const { ROMA_URL = "http://127.0.0.1:8420", ROMA_KEY = "", PORT = "3000" } = process.env;
const [keyId, secret] = ROMA_KEY.split(":");

/** Your own session goes here. */
const userOf = (_request) => "ann";

const app = express();

app.post("/grant", (request, response) => {
  const user = userOf(request);
  if (user === undefined) return response.sendStatus(401);
  const grant = mintGrant({
    keyId,
    secret,
    bucket: "demo",
    template: `users/${user}/{date}/{uuid}{ext}`,
    actions: ["object:write"],
    maxBytes: 200_000_000,
    count: 20,
    context: { user },
    lifetimeSeconds: 3600,
  });
  return response.json({ url: ROMA_URL, grant });
});

const { outputFiles } = await build({
  entryPoints: { page: new URL("page.js", import.meta.url).pathname },
  ...{ bundle: true, format: "esm", outdir: "/", write: false },
});
for (const { path, text } of outputFiles) {
  app.get(path, (_request, response) => response.type(path.split(".").at(-1)).send(text));
}
app.get("/", (_request, response) =>
  response.send(`<!doctype html><meta charset="utf-8"><title>Upload</title>
<link rel="stylesheet" href="/page.css"><div id="uppy"></div>
<script type="module" src="/page.js"></script>`),
);

const server = app.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
