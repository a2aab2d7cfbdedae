/**
 * The console: three static files under `/console/`, read once at start. They use the REST protocol
 * like any other client, so nothing here knows a key or a bucket.
 */
import { readFile } from "node:fs/promises";
import type { FastifyPluginAsync } from "fastify";

const files: Readonly<Record<string, string>> = {
  "index.html": "text/html; charset=utf-8",
  "app.js": "text/javascript; charset=utf-8",
  "style.css": "text/css; charset=utf-8",
};

/** No inline script or style, nothing from elsewhere, not to be framed. */
const securityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/** A Fastify plugin; `folder` holds the files. Fails at start if one is missing. */
export function consoleProtocol(folder: URL): FastifyPluginAsync {
  return async (app) => {
    for (const [name, type] of Object.entries(files)) {
      const bytes = await readFile(new URL(name, folder));
      app.get(`/${name === "index.html" ? "" : name}`, (_request, reply) =>
        reply
          .headers({
            "content-type": type,
            "content-security-policy": securityPolicy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
          })
          .send(bytes),
      );
    }
  };
}
