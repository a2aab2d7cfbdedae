/** A real nginx with the recipe of docs/deploy, for one test; it listens on a socket file, so it needs no port. */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { spawnNginx } from "../harness/nginx-process.ts";
import { eventually } from "../harness/process-usage.ts";
import { temporaryFolder } from "../harness/server-process.ts";

const recipe = resolve(import.meta.dirname, "../../docs/deploy/nginx-parse.conf");

export interface Nginx {
  /** The path of the socket that it listens on. */
  readonly socket: string;
  /** Where it would put what it buffers. */
  readonly bodies: string;
}

/** The recipe as it is, but for the two addresses and what it listens on. */
export async function startNginx(
  t: TestContext,
  upstreams: { readonly parseServer: string; readonly roma: string },
): Promise<Nginx> {
  const folder = await temporaryFolder(t);
  const socket = join(folder, "nginx.sock");
  const bodies = join(folder, "bodies");
  await mkdir(bodies);
  const site = (await readFile(recipe, "utf8"))
    .replace("127.0.0.1:1337", new URL(upstreams.parseServer).host)
    .replace("127.0.0.1:8420", new URL(upstreams.roma).host)
    .replace("listen 80;", `listen unix:${socket};`);
  await writeFile(join(folder, "site.conf"), site);
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
      client_body_temp_path ${bodies};
      proxy_temp_path ${folder}/proxy;
      fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi;
      scgi_temp_path ${folder}/scgi;
      include ${folder}/site.conf;
    }`,
  );
  await spawnNginx(t, folder);
  await eventually("nginx listens", () => existsSync(socket));
  return { socket, bodies };
}
