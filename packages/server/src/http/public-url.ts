/**
 * Where clients reach this server, for absolute URLs such as `Location`. What a client or a proxy says
 * about it is believed only as far as its grammar and the peer's address allow; nothing of a request
 * that is malformed or comes from elsewhere ever ends up in an answer.
 */
import type { FastifyRequest } from "fastify";
import { type Authority, boundAuthority, parseAuthority } from "./authority.ts";
import { requestScope } from "./deadline.ts";
import { type Forwarded, forwardedBy } from "./forwarded.ts";
import { isTrusted } from "./trusted-proxies.ts";

export interface PublicOriginOptions {
  /** As configured; it wins over everything. One that `isPublicUrl` takes. */
  readonly publicUrl?: string | undefined;
}

/**
 * `https://files.example` or `https://files.example/prefix`: never with a slash at the end, so that a
 * path of ours can be appended. The configured URL; else what a trusted proxy says (the peer's address
 * is in `http.trustedProxies`); else the `Host` that the client asked for; else the bound address.
 */
export function publicOrigin(
  request: FastifyRequest,
  { publicUrl }: PublicOriginOptions = {},
): string {
  if (publicUrl !== undefined) return withoutSlash(publicUrl);
  const { socket } = request.raw;
  const { trustedProxies } = requestScope(request).runtime;
  const forwarded: Forwarded = isTrusted(trustedProxies, socket.remoteAddress)
    ? forwardedBy(request.raw.headers)
    : {};
  const encrypted = "encrypted" in socket && socket.encrypted === true;
  const scheme = forwarded.scheme ?? (encrypted ? "https" : "http");
  const authority =
    forwarded.authority ??
    requestedAuthority(request) ??
    boundAuthority(socket.localAddress, socket.localPort);
  const port = authority.port ?? forwarded.port;
  const standard = scheme === "https" ? 443 : 80;
  const portText = port === undefined || port === standard ? "" : `:${port}`;
  return `${scheme}://${authority.host}${portText}${forwarded.prefix ?? ""}`;
}

/** Whether a configured URL says where a server is, and nothing else. */
export function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { username, password } = new URL(text);
  return (
    username === "" && password === "" && /^https?:\/\/[!-~]+$/i.test(text) && !/[?#\\]/.test(text)
  );
}

/** RFC 9112 §3.2.2: in the absolute form the target's own authority counts, and not `Host`. */
function requestedAuthority({ raw }: FastifyRequest): Authority | undefined {
  const absolute = /^https?:\/\/([^/?#]*)/i.exec(raw.url ?? "");
  return parseAuthority(absolute?.[1] ?? raw.headers.host ?? "");
}

function withoutSlash(url: string): string {
  let end = url.length;
  while (url[end - 1] === "/") end--;
  return url.slice(0, end);
}
