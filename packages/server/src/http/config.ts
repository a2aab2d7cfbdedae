/** Options of the HTTP layer: limits in time and bytes on everything that a client can hold open. */
import { z } from "zod";
import { bytes, duration } from "../config/schema.ts";
import { isAllowedOrigin } from "./cors-origins.ts";
import { overloadConfig } from "./overload/config.ts";
import { answerMarginMs } from "./time-limit.ts";
import { isProxyEntry } from "./trusted-proxies.ts";

const options = z.strictObject({
  headersMsMax: duration({ min: "100 ms", max: "60 s" })
    .default("30 s")
    .describe("time in which a client must send the headers of a request"),
  headerBytesMax: bytes({ min: "4 KiB", max: "256 KiB" })
    .default("32 KiB")
    .describe(
      "size of all headers of a request; each connection may hold as much. tus metadata and the " +
        "lists of parts of long concatenations are headers",
    ),
  keepAliveMs: duration({ min: "1 s", max: "1 h" })
    .default("65 s")
    .describe(
      "how long an idle connection stays open; longer than the proxy in front keeps its own",
    ),
  connectionsMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(20_000)
    .describe("open connections at most; more are closed at once"),
  workMsMax: duration({ min: "100 ms", max: "1 h" })
    .optional()
    .describe(
      "time for the work of a request, not counting the transfer of bodies. Left out: 60 s, or what is shorter: " +
        "transferMsMax, or gatewayMsMax less a tenth, 5 to 500 ms, for the answer",
    ),
  transferMsMax: duration({ min: "100 ms", max: "30 days" })
    .default("24 h")
    .describe("time for a whole request, the transfer of its bodies included"),
  gatewayMsMax: duration({ min: "100 ms", max: "1 h" })
    .optional()
    .describe(
      "after how long the proxy in front gives up on an answer (nginx: proxy_read_timeout); requests are answered " +
        "before it does, and have no effect after that. Left out: it waits. Not shorter than a workMsMax that is set",
    ),
  gatewayCounts: z
    .enum(["silence", "request"])
    .default("silence")
    .describe(
      "what that time is counted of: silence, in which it waits for this server and no byte moves (nginx, HAProxy, " +
        "load balancers of AWS), or the whole request with its body (Envoy, Cloudflare)",
    ),
  overload: overloadConfig.prefault({}),
  bodyIdleMsMax: duration({ min: "100 ms", max: "1 h" })
    .default("30 s")
    .describe("time in which a client that sends a body must send its next byte"),
  bodyBytesPerSecondMin: bytes()
    .default("1 KiB")
    .describe("average rate, within each window, below which an upload is ended"),
  bodyRateWindowMs: duration({ min: "100 ms", max: "1 h" })
    .default("60 s")
    .describe("window of the average rate; the first one is the time of grace"),
  readerIdleMsMax: duration({ min: "100 ms", max: "1 h" })
    .default("60 s")
    .describe("time in which a client that receives a body must take its next bytes"),
  lingerBytesMax: bytes()
    .default("64 MiB")
    .describe("bytes read and thrown away after an early refusal, so that it reaches the client"),
  lingerMsMax: duration({ min: "0 ms", max: "60 s" })
    .default("5 s")
    .describe("time spent on reading what follows an early refusal"),
  trustedProxies: z
    .array(
      z.string().refine(isProxyEntry, {
        error: "must be an address, a range in CIDR notation, or loopback",
      }),
    )
    .max(1000)
    .default(["loopback"])
    .describe(
      "addresses and CIDR ranges of the proxies in front, and the word loopback: only their Forwarded " +
        "and X-Forwarded-* say how clients reach this server, the nearest one's last value, and from which " +
        "address they come. Loopback is safe where nothing but a proxy of yours on this machine connects " +
        "from it. Elsewhere whoever connects from there may shape absolute URLs in the answer to its own " +
        "request, and say another client address than its own; the audit log keeps both",
    ),
  corsOrigins: z
    .array(
      z.string().refine(isAllowedOrigin, {
        error: 'must be "*" or an origin as browsers send it: https://app.example, without a path',
      }),
    )
    .max(1000)
    .default(["*"])
    .describe(
      "origins whose pages may use the server from browsers, compared exactly; * for any, empty for none. " +
        "Credentials that a browser keeps by itself are never allowed",
    ),
  corsPrivateNetwork: z
    .boolean()
    .default(false)
    .describe(
      "lets pages of the public Internet, if their origin is allowed, reach a server in a private network",
    ),
  uploadResumptionSupported: z
    .boolean()
    .default(false)
    .describe(
      "sends 104 (Upload Resumption Supported), by which Apple's clients resume. Only where every proxy in " +
        "front is known to pass 1xx answers on: nginx takes a 104 for the final answer, and every upload " +
        "from an iPhone would fail",
    ),
});

/** `workMsMax` as it is set; left out, as the limits around it leave room for it. */
export const httpConfig = options.transform((config) => ({
  ...config,
  workMsMax: config.workMsMax ?? workMsMaxUnset(config).ms,
}));

export type HttpConfig = z.output<typeof httpConfig>;

/** What `workMsMax` is when nobody sets it, in milliseconds, and the option that makes it shorter than 60 s, if one does. */
export function workMsMaxUnset(limits: {
  readonly transferMsMax: number;
  readonly gatewayMsMax?: number | undefined;
}): { readonly ms: number; readonly by?: "gatewayMsMax" | "transferMsMax" } {
  const { transferMsMax, gatewayMsMax = Number.POSITIVE_INFINITY } = limits;
  const byGateway = gatewayMsMax - answerMarginMs(gatewayMsMax);
  const ms = Math.min(workMsMaxLongest, transferMsMax, byGateway);
  if (ms === workMsMaxLongest) return { ms };
  return { ms, by: ms === byGateway ? "gatewayMsMax" : "transferMsMax" };
}

const workMsMaxLongest = 60_000;
