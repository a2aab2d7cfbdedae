/** A real nginx in front of a server, that gives up by itself; it listens on a free port. */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { spawnNginx } from "../harness/nginx-process.ts";
import { temporaryFolder } from "../harness/server-process.ts";

export interface GatewayOptions {
  readonly upstream: { readonly url: string };
  /** `proxy_read_timeout`. */
  readonly readTimeout: string;
  /** `proxy_request_buffering` and `proxy_buffering`. */
  readonly buffering: "on" | "off";
}

export async function startGateway(
  t: TestContext,
  { upstream, readTimeout, buffering }: GatewayOptions,
): Promise<{ readonly url: string }> {
  const folder = await temporaryFolder(t);
  const port = await freePort();
  await writeFile(
    join(folder, "nginx.conf"),
    `
    daemon off;
    ${process.getuid?.() === 0 ? "user root;" : ""}
    pid ${folder}/pid;
    error_log ${folder}/error.log;
    events { worker_connections 1024; }
    http {
      access_log off;
      client_max_body_size 0;
      ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map((name) => `${name}_temp_path ${folder}/${name};`)
        .join(" ")}
      server {
        listen 127.0.0.1:${port};
        location / {
          proxy_pass ${upstream.url};
          proxy_http_version 1.1;
          proxy_set_header Host $http_host;
          proxy_request_buffering ${buffering};
          proxy_buffering ${buffering};
          proxy_read_timeout ${readTimeout};
          # Never sent a second time: a client decides that.
          proxy_next_upstream off;
        }
      }
    }`,
  );
  await spawnNginx(t, folder);
  await untilOpen(port);
  return { url: `http://127.0.0.1:${port}` };
}

/** Below those that the kernel gives to connections and to whoever asks for any: nobody takes it before nginx does. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

/** For what hangs. */
const openMsMax = 60_000;

async function untilOpen(port: number): Promise<void> {
  const until = Date.now() + openMsMax;
  for (;;) {
    const socket = connect({ port, host: "127.0.0.1" });
    const isOpen = await new Promise<boolean>((done) => {
      socket.once("connect", () => done(true)).once("error", () => done(false));
    });
    socket.destroy();
    if (isOpen) return;
    if (Date.now() > until) throw new Error("nginx does not listen");
    await new Promise((done) => setTimeout(done, 20));
  }
}
