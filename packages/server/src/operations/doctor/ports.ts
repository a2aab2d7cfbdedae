/** Are the ports free that the server would listen on? */
import { createServer } from "node:net";
import { type Finding, findings } from "./finding.ts";

const { ok, fail } = findings("ports");

export interface Listener {
  readonly name: string;
  readonly host: string;
  /** 0: a free one is picked at the start. */
  readonly port: number;
}

export async function checkPorts(listeners: readonly Listener[]): Promise<readonly Finding[]> {
  const all = listeners.filter(({ port }) => port !== 0).map(checkPort);
  return await Promise.all(all);
}

async function checkPort({ name, host, port }: Listener): Promise<Finding> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
    return ok(`${name}: ${host}:${port} is free`);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return fail(`${name}: ${host}:${port} cannot be listened on (${code})`, adviceOf(code, port));
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

function adviceOf(code: string, port: number): string {
  if (code === "EADDRINUSE")
    return `see who has it (ss -ltnp 'sport = :${port}'), or choose another port`;
  if (code === "EACCES")
    return "a port below 1024 needs the right to it (AmbientCapabilities=CAP_NET_BIND_SERVICE)";
  return "choose an address that this machine has";
}
