/** The command line's promises against the real server, in a folder of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseServerConfig, Secret, silentLog, startServer } from "@roma/server";
import { describeCommandLine } from "./testing.ts";

describeCommandLine("the command line, real server", async () => {
  const data = await mkdtemp(join(tmpdir(), "roma-cli-server-"));
  const config = parseServerConfig({ data, port: 0, opsPort: 0 });
  const [id, secret] = ["cli-e2e-root", "cli-e2e-secret-0123456789abcdef"];
  const rootKey = new Secret(`${id}:${secret}`);
  const server = await startServer({ ...config, rootKey }, { log: silentLog });
  return {
    url: server.url,
    credential: `${id}.${secret}`,
    close: async () => {
      await server.close();
      await rm(data, { recursive: true });
    },
  };
});
