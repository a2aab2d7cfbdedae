/** A server of the upload protocol in a process of its own that counts and digests bytes, and keeps none. */
import { startMemoryServer } from "../../packages/sdk/src/node/testing.ts";

const server = await startMemoryServer();
server.direct.settings.discard = true;
server.direct.settings.partBytes = 8 * 1024 * 1024;
process.stdout.write(`${JSON.stringify({ url: server.url, token: server.credential })}\n`);
process.once("SIGTERM", () => void server.close().then(() => process.exit()));
