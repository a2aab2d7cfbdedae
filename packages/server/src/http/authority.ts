/**
 * `host[:port]` of an http URL (RFC 3986 §3.2), read more narrowly than the grammar allows: names of
 * letters, digits, `-`, `_` and dots, IPv4 addresses, IPv6 addresses in brackets. No user, no percent-
 * encoding, no zone: what passes here can be written into a URL and means the same to everybody.
 */
import { isIPv6 } from "node:net";

export interface Authority {
  /** As it stands in a URL: an IPv6 address has its brackets. */
  readonly host: string;
  readonly port?: number;
}

const authorityPattern = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,254}))(?::(\d{1,5}))?$/;
const labelPattern = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

/** `undefined` for anything else, an empty text among them. */
export function parseAuthority(text: string): Authority | undefined {
  const match = authorityPattern.exec(text);
  if (match === null) return undefined;
  const [, address, name = "", digits] = match;
  const good =
    address === undefined
      ? (name.endsWith(".") ? name.slice(0, -1) : name)
          .split(".")
          .every((label) => labelPattern.test(label))
      : isIPv6(address);
  if (!good) return undefined;
  const host = address === undefined ? name : `[${address}]`;
  if (digits === undefined) return { host };
  const port = Number(digits);
  return port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

/** Where a socket is bound, as an authority. */
export function boundAuthority(address: string | undefined, port: number | undefined): Authority {
  const plain = (address ?? "localhost").split("%", 1)[0]?.replace(/^::ffff:(?=\d+\.)/i, "") ?? "";
  const host = isIPv6(plain) ? `[${plain}]` : plain;
  return port === undefined ? { host } : { host, port };
}
