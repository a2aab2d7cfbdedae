// Whom do the tus-*.ts questions compare with? @tus/server over its file store, both with their own
// defaults, in a process of its own: `node bench/tus-server.ts FOLDER`.

import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const datastore = new FileStore({ directory: process.argv[2] ?? "" });
const listening = new Server({ path: "/files", datastore }).listen({ host: "127.0.0.1", port: 0 });
listening.once("listening", () => {
  const address = listening.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`listening on http://127.0.0.1:${port}\n`);
});
