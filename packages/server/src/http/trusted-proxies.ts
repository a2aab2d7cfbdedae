/**
 * The addresses whose forwarded headers are believed, from their configuration: single addresses,
 * ranges in CIDR notation, and the word `loopback`. What is not one of these is refused at the start.
 */
import { BlockList, isIP } from "node:net";

interface Range {
  readonly address: string;
  readonly prefix: number;
  readonly family: "ipv4" | "ipv6";
}

const loopback: readonly Range[] = [
  { address: "127.0.0.0", prefix: 8, family: "ipv4" },
  { address: "::1", prefix: 128, family: "ipv6" },
];

/** Whether an entry of the option is one that `trustedProxies` takes. */
export function isProxyEntry(text: string): boolean {
  return text === "loopback" || parseRange(text) !== undefined;
}

/** Throws a `TypeError` for an entry that `isProxyEntry` refuses. */
export function trustedProxies(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const range = parseRange(entry);
    if (entry !== "loopback" && range === undefined) {
      throw new TypeError(`${JSON.stringify(entry)} is not an address or a range`);
    }
    for (const { address, prefix, family } of range === undefined ? loopback : [range]) {
      list.addSubnet(address, prefix, family);
    }
  }
  return list;
}

/** Whether the peer of a connection is in the list; an IPv4 address counts in either notation. */
export function isTrusted(list: BlockList, peer: string | undefined): boolean {
  const address = peer?.split("%", 1)[0] ?? "";
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 4 ? "ipv4" : "ipv6");
}

function parseRange(text: string): Range | undefined {
  const [address = "", bits, ...rest] = text.split("/");
  const version = address.includes("%") ? 0 : isIP(address);
  if (version === 0 || rest.length > 0) return undefined;
  const widest = version === 4 ? 32 : 128;
  const prefix = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : Infinity;
  if (prefix > widest) return undefined;
  return { address, prefix, family: version === 4 ? "ipv4" : "ipv6" };
}
