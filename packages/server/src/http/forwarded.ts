/**
 * What the nearest proxy says about how a client reached it: `Forwarded` (RFC 7239), else the
 * `X-Forwarded-*` fields. Only the last value of each counts: the earlier ones were written by others,
 * the client among them. What is malformed counts as absent. Whether a proxy is believed is not
 * decided here.
 */
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { type Authority, parseAuthority } from "./authority.ts";

export interface Forwarded {
  readonly scheme?: "http" | "https";
  readonly authority?: Authority;
  /** Where the host was said without a port. */
  readonly port?: number;
  /** `/roma`: what the proxy took off the path. */
  readonly prefix?: string;
}

export function forwardedBy(headers: IncomingHttpHeaders): Forwarded {
  const standard = fromForwarded(headers.forwarded ?? "");
  const prefix = parsePrefix(lastOf(headers["x-forwarded-prefix"]));
  return {
    ...(standard.scheme === undefined && standard.authority === undefined
      ? fromXForwarded(headers)
      : standard),
    ...(prefix === undefined ? {} : { prefix }),
  };
}

/**
 * The addresses for which each hop forwarded, the nearest hop's last; `undefined` where one hides it or is
 * malformed. Empty: nobody says.
 */
export function forwardedFor(headers: IncomingHttpHeaders): readonly (string | undefined)[] {
  const elements = parseForwarded(headers.forwarded ?? "") ?? [];
  const standard = elements.map((element) => parseNode(element.get("for")));
  if (standard.length > 0) return standard;
  const field = headers["x-forwarded-for"] ?? "";
  const list = (typeof field === "string" ? field : field.join(",")).split(",");
  return list.map((item) => item.trim()).flatMap((item) => (item === "" ? [] : [parseNode(item)]));
}

/** RFC 7239 §6: an address, that of IPv6 in brackets, perhaps with a port. */
function parseNode(node = ""): string | undefined {
  const [, bracketed, plain = node] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?$/.exec(node) ?? [];
  const address = bracketed ?? plain;
  return isIP(address) === 0 ? undefined : address;
}

function fromForwarded(field: string): Forwarded {
  const nearest = parseForwarded(field)?.at(-1);
  return said(nearest?.get("proto"), nearest?.get("host"));
}

function fromXForwarded(headers: IncomingHttpHeaders): Forwarded {
  const { scheme, authority } = said(
    lastOf(headers["x-forwarded-proto"]),
    lastOf(headers["x-forwarded-host"]),
  );
  const port = parseAuthority(`a:${lastOf(headers["x-forwarded-port"])}`)?.port;
  return {
    ...(scheme === undefined ? {} : { scheme }),
    ...(authority === undefined ? {} : { authority }),
    ...(port === undefined ? {} : { port }),
  };
}

function said(proto: string | undefined, host: string | undefined): Forwarded {
  const scheme = proto?.toLowerCase();
  const authority = host === undefined ? undefined : parseAuthority(host);
  return {
    ...(scheme === "http" || scheme === "https" ? { scheme } : {}),
    ...(authority === undefined ? {} : { authority }),
  };
}

/** Fields that came more than once are one list by now. */
function lastOf(field: string | readonly string[] | undefined): string {
  const text = typeof field === "string" ? field : (field?.join(",") ?? "");
  return text.slice(text.lastIndexOf(",") + 1).trim();
}

const pairPattern =
  /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)|"((?:[\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*)")/y;
const separatorPattern = /[ \t]*([,;])[ \t]*/y;

/** RFC 7239 §4: the elements in order, names in lower case. `undefined` when it is malformed. */
function parseForwarded(field: string): readonly ReadonlyMap<string, string>[] | undefined {
  const elements: Map<string, string>[] = [];
  let element = new Map<string, string>();
  let at = field.length - field.trimStart().length;
  const text = field.trimEnd();
  while (at < text.length) {
    pairPattern.lastIndex = at;
    const pair = pairPattern.exec(text);
    if (pair !== null) {
      const [whole, name = "", token, quoted = ""] = pair;
      if (element.has(name.toLowerCase())) return undefined;
      element.set(name.toLowerCase(), token ?? quoted.replaceAll(/\\(.)/gs, "$1"));
      at += whole.length;
    }
    if (at === text.length) break;
    separatorPattern.lastIndex = at;
    const separator = separatorPattern.exec(text);
    if (separator === null) return undefined;
    at += separator[0].length;
    if (separator[1] === ",") {
      elements.push(element);
      element = new Map();
    }
  }
  elements.push(element);
  return elements.filter(({ size }) => size > 0);
}

const prefixBytesMax = 256;

/** A path of plain segments: nothing encoded, no dots alone, so that all readers agree on it. */
function parsePrefix(text: string): string | undefined {
  const path = text.endsWith("/") ? text.slice(0, -1) : text;
  if (path === "" || path.length > prefixBytesMax || !path.startsWith("/")) return undefined;
  const segments = path.slice(1).split("/");
  const plain = segments.every((segment) => /^(?!\.{1,2}$)[A-Za-z0-9._~-]+$/.test(segment));
  return plain ? path : undefined;
}
