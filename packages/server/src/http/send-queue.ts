/**
 * What of a connection the kernel holds for its peer. The kernel tells a process of progress only when a third of that
 * buffer is free again, up to 1.4 MB of the 4 MiB that it may grow to: a peer that takes 20 KB/s behind a proxy on the
 * same machine is silent for a minute, to all that Node can see, while it takes bytes all the time.
 */
import { readFile } from "node:fs/promises";
import { isIPv4, type Socket } from "node:net";
import { groupsOfIPv6 } from "./ip-groups.ts";

/** Linux: all connections of the network namespace, a line each (proc_pid_net(5)). */
const tables = { IPv4: "/proc/net/tcp", IPv6: "/proc/net/tcp6" } as const;
/** For all who ask meanwhile: a table of 10,000 connections is 1.5 MB that the kernel writes anew for each reader. */
const looksEveryMs = 1_000;
/** Both ends, the state, and the bytes that are not acknowledged. */
const linePattern =
  /^ *\d+: ([0-9A-F]+:[0-9A-F]+ [0-9A-F]+:[0-9A-F]+) [0-9A-F]{2} ([0-9A-F]{8}):/gm;

type Table = ReadonlyMap<string, number>;
const looks = new Map<string, { readonly atMs: number; readonly table: Promise<Table> }>();

/**
 * Bytes written that the peer has not acknowledged, up to a second ago; `undefined` where the kernel does not tell, or
 * the connection is newer.
 */
export async function sendQueueBytes(socket: Socket): Promise<number | undefined> {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  const table = await look(tables[isIPv4(localAddress) ? "IPv4" : "IPv6"]);
  return table.get(`${endOf(localAddress, localPort)} ${endOf(remoteAddress, remotePort)}`);
}

function look(path: string): Promise<Table> {
  const nowMs = performance.now();
  const last = looks.get(path);
  if (last !== undefined && nowMs - last.atMs < looksEveryMs) return last.table;
  const table = readTable(path);
  looks.set(path, { atMs: nowMs, table });
  return table;
}

async function readTable(path: string): Promise<Table> {
  const text = await readFile(path, "latin1").catch(() => "");
  const table = new Map<string, number>();
  for (const [, ends = "", queue = ""] of text.matchAll(linePattern)) {
    table.set(ends, Number.parseInt(queue, 16));
  }
  return table;
}

/** `127.0.0.1` and 8420 as `0100007F:20E4`: each word of four bytes as this machine reads it. */
function endOf(address: string, port: number): string {
  const bytes = Buffer.from(
    isIPv4(address)
      ? address.split(".").map(Number)
      : groupsOfIPv6(address).flatMap((group) => [group >> 8, group & 0xff]),
  );
  const words = Array.from({ length: bytes.length / 4 }, (_, index) =>
    hex(wordOf(bytes, 4 * index), 8),
  );
  return `${words.join("")}:${hex(port, 4)}`;
}

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function wordOf(bytes: Buffer, offset: number): number {
  return isLittleEndian ? bytes.readUInt32LE(offset) : bytes.readUInt32BE(offset);
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}
