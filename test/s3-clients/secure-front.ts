/** TLS in front of a server, as a proxy that leaves the requests as they are. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { createServer } from "node:tls";
import { promisify } from "node:util";
import { cleanUp } from "../harness/cleanup.ts";

const execute = promisify(execFile);

export interface SecureFront {
  /** `https://127.0.0.1:1234` */
  readonly url: string;
  /** The file of its certificate, which is its own authority. */
  readonly certificate: string;
}

export async function startSecureFront(
  t: TestContext,
  { upstream, folder }: { readonly upstream: string; readonly folder: string },
): Promise<SecureFront> {
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  await execute("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
    ...["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", key, "-out", certificate],
  ]);
  const { hostname, port } = new URL(upstream);
  const sockets = new Set<Socket>();
  const options = { key: await readFile(key), cert: await readFile(certificate) };
  const server = createServer(options, (client) => {
    const far = connect({ host: hostname, port: Number(port) });
    const pair = [client, far];
    for (const socket of pair) {
      sockets.add(socket);
      // Either end takes the other along, however it ended; what it has said is passed on before.
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        for (const other of pair) other.destroySoon();
      });
    }
    client.pipe(far).pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp(t, async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  const { port: own } = server.address() as AddressInfo;
  return { url: `https://127.0.0.1:${own}`, certificate };
}
