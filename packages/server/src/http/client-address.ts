/**
 * From where a client came: the peer of its connection, unless that is a trusted proxy and names another.
 * Of a chain of proxies the nearest to us is read first, and on through those that are trusted as well:
 * what stands beyond the first that is not was written by others, the client among them.
 */
import type { FastifyRequest } from "fastify";
import { requestScope } from "./deadline.ts";
import { forwardedFor } from "./forwarded.ts";
import { isTrusted } from "./trusted-proxies.ts";

export interface ClientAddress {
  /** An IP address without a port; null once the connection is gone, or in tests without one. */
  readonly address: string | null;
  /** The peer, where it is a trusted proxy that named the address. */
  readonly via: string | null;
}

export function clientAddress(request: FastifyRequest): ClientAddress {
  const { socket, headers } = request.raw;
  const peer = plainAddress(socket.remoteAddress);
  const { trustedProxies } = requestScope(request).runtime;
  if (peer === null || !isTrusted(trustedProxies, peer)) return { address: peer, via: null };
  let address = peer;
  for (const named of forwardedFor(headers).toReversed()) {
    // Hidden or malformed: the proxy that wrote it is the last that is known.
    if (named === undefined) break;
    address = plainAddress(named) ?? address;
    if (!isTrusted(trustedProxies, address)) break;
  }
  return address === peer ? { address: peer, via: null } : { address, via: peer };
}

/** An IPv4 address in its own notation, wherever it came. */
function plainAddress(address: string | undefined): string | null {
  if (address === undefined) return null;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address;
}
