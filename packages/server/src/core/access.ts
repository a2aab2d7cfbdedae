/**
 * Who may do what. Everything is refused unless a statement of the actor's policy, its grant or the
 * bucket's visibility allows it.
 */
import type { ActionJson, PolicyStatementJson } from "@roma/contract";
import { OperationalError } from "./errors.ts";
import { fitsTemplate, templateHead } from "./grant-template.ts";
import type { RequestOrigin } from "./ports/author.ts";
import type { BucketRecord, GrantUse } from "./ports/metadata-store.ts";
import { withFacts } from "./refusal-facts.ts";

export type Action = Exclude<ActionJson, "*">;

/** What a grant says; every bound holds on each way in. */
export interface GrantScope {
  readonly bucket: string;
  /** One key; or every key with a prefix, or of a template (`grant-template.ts`), or both. */
  readonly key?: string;
  readonly prefix?: string;
  readonly template?: string;
  readonly actions: readonly Action[];
  /** HTTP methods that may use it, in upper case. */
  readonly methods?: readonly string[];
  readonly minBytes?: number;
  readonly maxBytes?: number;
  readonly contentTypes?: readonly string[];
  /** The grant's own (its claim `jti`). */
  readonly id?: string;
  /** How often it may be used for writing; left out: it is not counted. */
  readonly use?: GrantUse;
  /** JSON that is kept with what it writes. */
  readonly context?: string;
}

export type Actor = (
  | { readonly kind: "anonymous" }
  | {
      readonly kind: "key";
      readonly keyId: string;
      readonly policy: readonly PolicyStatementJson[];
    }
  | {
      readonly kind: "grant";
      /** The key that signed the grant: a grant never allows more than its signer may do. */
      readonly keyId: string;
      readonly policy: readonly PolicyStatementJson[];
      readonly scope: GrantScope;
    }
) & {
  /** Of the request that showed the credential. */
  readonly origin?: RequestOrigin;
};

export const anonymous: Actor = { kind: "anonymous" };

/** What an action is about. Without a bucket it is about the server itself (keys, storages). */
export interface Target {
  readonly bucket?: string;
  readonly key?: string;
  /** For lists: every key with this prefix. */
  readonly prefix?: string;
}

/** Whether the actor may; public buckets are `mayRead`'s business. */
export function isAllowed(actor: Actor, action: Action, target: Target): boolean {
  switch (actor.kind) {
    case "anonymous":
      return false;
    case "key":
      return actor.policy.some((statement) => statementAllows(statement, action, target));
    case "grant":
      return (
        scopeAllows(actor.scope, action, target) &&
        actor.policy.some((statement) => statementAllows(statement, action, target))
      );
  }
}

/** Throws `unauthenticated` for nobody, `access_denied` for somebody who may not. */
export function authorize(actor: Actor, action: Action, target: Target): void {
  if (isAllowed(actor, action, target)) return;
  throw refusal(actor, action, target);
}

/** As `authorize` for reading one object, with the bucket's visibility counted in. */
export function authorizeRead(
  actor: Actor,
  bucket: BucketRecord | undefined,
  target: Target,
): void {
  if (bucket?.visibility === "public-read") return;
  authorize(actor, "object:read", target);
}

function refusal(actor: Actor, action: Action, target: Target): OperationalError {
  if (actor.kind === "anonymous") {
    return new OperationalError("unauthenticated", `${action} needs a credential`);
  }
  const { bucket, key } = target;
  const error = new OperationalError("access_denied", `this credential does not permit ${action}`, {
    context: { action, keyId: actor.keyId },
  });
  return withFacts(error, {
    permission: action,
    ...(bucket === undefined ? {} : { bucket }),
    ...(key === undefined ? {} : { key }),
  });
}

/** Destroying very many objects is said by name: not by keys that were to do everything. */
function means(allowed: ActionJson, action: Action): boolean {
  return allowed === action || (allowed === "*" && action !== "bulk:delete");
}

function statementAllows(statement: PolicyStatementJson, action: Action, target: Target): boolean {
  return (
    statement.actions.some((allowed) => means(allowed, action)) &&
    bucketAllowed(statement.buckets, target.bucket) &&
    keysAllowed(statement.prefixes, target)
  );
}

function bucketAllowed(patterns: readonly string[], bucket: string | undefined): boolean {
  return patterns.some((pattern) => {
    if (pattern === "*") return true;
    if (bucket === undefined) return false;
    return pattern.endsWith("*") ? bucket.startsWith(pattern.slice(0, -1)) : bucket === pattern;
  });
}

function keysAllowed(prefixes: readonly string[] | undefined, target: Target): boolean {
  if (prefixes === undefined) return true;
  const name = target.key ?? target.prefix;
  // A statement about some keys says nothing about the bucket itself.
  return name !== undefined && prefixes.some((prefix) => name.startsWith(prefix));
}

function scopeAllows(scope: GrantScope, action: Action, target: Target): boolean {
  if (!scope.actions.includes(action) || scope.bucket !== target.bucket) return false;
  if (scope.key !== undefined) return target.key === scope.key;
  const { template, prefix } = scope;
  const name = target.key ?? target.prefix;
  if (name?.startsWith(prefix ?? templateHead(template ?? "")) !== true) return false;
  if (template === undefined) return true;
  // What is asked of all keys with a prefix would show others than the template's.
  return target.key === undefined ? prefix !== undefined : fitsTemplate(template, target.key);
}

/** Whether the actor may write any key at all in the bucket: for uploads whose key is told later. */
export function mayWriteSomewhere(actor: Actor, bucket: string): boolean {
  if (actor.kind === "anonymous") return false;
  const inPolicy = actor.policy.some(
    ({ actions, buckets }) =>
      actions.some((allowed) => allowed === "*" || allowed === "object:write") &&
      bucketAllowed(buckets, bucket),
  );
  if (actor.kind === "key") return inPolicy;
  const { scope } = actor;
  return inPolicy && scope.bucket === bucket && scope.actions.includes("object:write");
}
