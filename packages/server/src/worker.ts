/** The program of one worker of `roma serve`. Started by its supervisor, with the flags of `serve`. */
import { joinSupervisor } from "./supervisor/worker-link.ts";
import { widenThreadPool } from "./thread-pool.ts";

widenThreadPool();
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
const link = await joinSupervisor();
process.title = `roma worker ${link.slot}`;
// After the link: from here on the supervisor hears that this process is alive.
const { fail, serveAsWorker } = await import("./serve-process.ts");
const { loadServerConfig } = await import("./serve.ts");
try {
  await serveAsWorker(loadServerConfig(process.argv.slice(2)), link);
} catch (error) {
  fail(error);
  process.exit();
}
