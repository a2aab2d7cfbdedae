/**
 * Cross-origin access for browsers (Fetch §3.2). The headers are on a request's answer before anything
 * can fail, so a script sees a refusal as what it is, and a preflight is answered before anybody asks
 * for a credential. Credentials that a browser keeps by itself are never allowed. A bucket with rules of
 * its own is judged by them, whatever the server's own say.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { CorsRule } from "../core/ports/metadata-store.ts";
import type { HttpConfig } from "./config.ts";
import { findCorsRule } from "./cors-rules.ts";

/** What pages of allowed origins may do under one prefix. */
export interface CorsPolicy {
  readonly methods: readonly string[];
  /** Names that pages may set; `roma-meta-*` is a family of names. */
  readonly requestHeaders: readonly string[];
  /** Names that scripts may read. */
  readonly exposedHeaders: readonly string[];
  /** Without: two hours, which is the most that Chromium keeps. */
  readonly maxAgeSeconds?: number;
  /**
   * `answered`: here, with 204 and without a route. `routed`: the protocol's own route for OPTIONS
   * answers, because its answer says more; the headers are set by then. It must ask for no credential.
   */
  readonly preflights?: "answered" | "routed";
  /** Of the bucket that the request is about; null or left out where it has none. */
  readonly rulesOf?: (request: FastifyRequest) => Promise<readonly CorsRule[] | null | undefined>;
  /**
   * Whether a bucket's rules alone decide about headers, as S3's own clients expect. Else those of the
   * protocol, without which it cannot be spoken, are added to them.
   */
  readonly rulesAreWhole?: boolean;
}

interface Rule {
  readonly prefix: string;
  readonly policy: CorsPolicy;
  readonly families: readonly string[];
  readonly requestHeaders: ReadonlySet<string>;
}

const maxAgeSecondsDefault = 7200;

/** Names in one `Access-Control-Request-Headers` that are looked at. */
const requestedHeadersMax = 100;

/** Allows what the policy says under the prefix of this plugin, for the origins of `http.corsOrigins`. */
export function allowCors(app: FastifyInstance, policy: CorsPolicy): void {
  app.httpRuntime.cors.add(app.prefix, policy);
}

/** The policies of one server; each request is judged by the longest prefix of its path. */
export class Cors {
  readonly #origins: ReadonlySet<string>;
  readonly #any: boolean;
  readonly #privateNetwork: boolean;
  readonly #rules: Rule[] = [];

  constructor({ corsOrigins, corsPrivateNetwork }: HttpConfig) {
    this.#origins = new Set(corsOrigins);
    this.#any = this.#origins.has("*");
    this.#privateNetwork = corsPrivateNetwork;
  }

  /** For answers to what never became a request, and so has no origin to be judged by. */
  get allowsAny(): boolean {
    return this.#any;
  }

  add(prefix: string, policy: CorsPolicy): void {
    const names = policy.requestHeaders.map((name) => name.toLowerCase());
    this.#rules.push({
      prefix,
      policy,
      families: names.filter((name) => name.endsWith("*")).map((name) => name.slice(0, -1)),
      requestHeaders: new Set(names.filter((name) => !name.endsWith("*"))),
    });
    this.#rules.sort((one, other) => other.prefix.length - one.prefix.length);
  }

  /** Sets the headers of the answer. True when it was a preflight, and has been answered. */
  apply(request: FastifyRequest, reply: FastifyReply): boolean | Promise<boolean> {
    const rule = this.#ruleOf(request.raw.url ?? "");
    if (rule === undefined) return false;
    const { rulesOf } = rule.policy;
    // What a cache keeps may be asked for by a page later; other answers are nobody else's.
    const matters = request.headers.origin !== undefined || request.method === "GET";
    if (rulesOf === undefined || !matters) return this.#applyOwn(rule, request, reply);
    return rulesOf(request).then((rules) =>
      rules == null
        ? this.#applyOwn(rule, request, reply)
        : applyBucketRules({ rule, rules }, request, reply),
    );
  }

  #applyOwn(rule: Rule, request: FastifyRequest, reply: FastifyReply): boolean {
    if (this.#origins.size === 0) return false;
    const { origin } = request.headers;
    // Also without an Origin: what a cache keeps may be asked for by a page later.
    if (!this.#any) reply.header("vary", "Origin");
    if (!this.#any && (origin === undefined || !this.#origins.has(origin))) return false;
    reply.header("access-control-allow-origin", this.#any ? "*" : origin);
    const { policy } = rule;
    if (preflightMethod(request) === undefined) {
      reply.header("access-control-expose-headers", policy.exposedHeaders.join(", "));
      return false;
    }
    this.#allow(rule, request, reply);
    if (policy.preflights === "routed") return false;
    reply.code(204).send();
    return true;
  }

  #allow(rule: Rule, request: FastifyRequest, reply: FastifyReply): void {
    const { policy } = rule;
    const asked = request.headers["access-control-request-headers"];
    const varying = [
      ...(this.#any ? [] : ["Origin"]),
      ...(rule.families.length === 0 ? [] : ["Access-Control-Request-Headers"]),
      ...(this.#privateNetwork ? ["Access-Control-Request-Private-Network"] : []),
    ];
    if (varying.length > 0) reply.header("vary", varying.join(", "));
    reply.header("access-control-allow-methods", policy.methods.join(", "));
    reply.header(
      "access-control-allow-headers",
      [...rule.requestHeaders, ...ofFamilies(rule, namesIn(asked ?? ""))].join(", "),
    );
    const maxAge = policy.maxAgeSeconds ?? maxAgeSecondsDefault;
    reply.header("access-control-max-age", String(maxAge));
    const network = request.headers["access-control-request-private-network"];
    if (this.#privateNetwork && network === "true") {
      reply.header("access-control-allow-private-network", "true");
    }
  }

  #ruleOf(target: string): Rule | undefined {
    // RFC 9112 §3.2.2: a server accepts the absolute form too.
    const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "").split(/[?#]/, 1)[0] ?? "";
    return this.#rules.find(({ prefix }) => path === prefix || path.startsWith(`${prefix}/`));
  }
}

/** The method that a preflight asks for; `undefined` of any other request. */
function preflightMethod({ method, headers }: FastifyRequest): string | undefined {
  if (headers.origin === undefined || method !== "OPTIONS") return undefined;
  return headers["access-control-request-method"];
}

/** Without a rule for it the answer says nothing, which a browser takes for a no. */
function applyBucketRules(
  { rule, rules }: { readonly rule: Rule; readonly rules: readonly CorsRule[] },
  request: FastifyRequest,
  reply: FastifyReply,
): boolean {
  const { policy } = rule;
  const { origin } = request.headers;
  const preflight = preflightMethod(request);
  const varying = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
  reply.header("vary", varying);
  if (origin === undefined) return false;
  const asked = namesIn(request.headers["access-control-request-headers"] ?? "");
  const own =
    policy.rulesAreWhole === true ? [] : [...rule.requestHeaders, ...ofFamilies(rule, asked)];
  const found = findCorsRule(rules, {
    origin,
    method: preflight ?? request.method,
    headers: preflight === undefined ? [] : asked.filter((name) => !own.includes(name)),
  });
  if (found === undefined) return false;
  const exposed = policy.rulesAreWhole === true ? [] : policy.exposedHeaders;
  const exposeHeaders = [...exposed, ...found.exposeHeaders].join(", ");
  reply.header("access-control-allow-origin", found.allowedOrigins.includes("*") ? "*" : origin);
  if (exposeHeaders !== "") reply.header("access-control-expose-headers", exposeHeaders);
  if (preflight === undefined) return false;
  reply.header(
    "access-control-allow-methods",
    [...new Set([preflight, ...found.allowedMethods])].join(", "),
  );
  if (asked.length > 0) reply.header("access-control-allow-headers", asked.join(", "));
  if (found.maxAgeSeconds !== undefined) {
    reply.header("access-control-max-age", String(found.maxAgeSeconds));
  }
  if (policy.preflights === "routed") return false;
  reply.code(204).send();
  return true;
}

/** Names that are asked for, in lower case. */
function namesIn(field: string): readonly string[] {
  const names = field.toLowerCase().split(",", requestedHeadersMax);
  return names
    .map((name) => name.trim())
    .filter((name) => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name));
}

/** Names of a family cannot be listed before they are asked for. */
function ofFamilies({ families }: Rule, asked: readonly string[]): readonly string[] {
  return asked.filter((name) => families.some((family) => name.startsWith(family)));
}
