/**
 * What a grant means for a write, in one place for every way in: the key where the client names none, the terms
 * that an upload keeps, the condition that nothing is replaced, the use that is counted, and the context.
 *
 * Whoever makes an object or an upload asks here, after `authorize` has judged the key:
 * a whole object takes `grantUse`, `grantConditions` and `withContext`; an upload keeps `grantTerms` in its record
 * (which counts its use) and `grantConditions` in its conditions, is judged by `writeLimits` with them, and its
 * object gets `withContext`.
 */
import type { Actor, GrantScope } from "./access.ts";
import { OperationalError } from "./errors.ts";
import { isCreateOnly, keyName, keyOfTemplate, type TemplateValues } from "./grant-template.ts";
import { newVersion } from "./ids.ts";
import { type ObjectKey, parseKey } from "./object-key.ts";
import type {
  GrantTerms,
  GrantUse,
  MetadataStore,
  ObjectAttributes,
  WriteConditions,
} from "./ports/metadata-store.ts";

/** Reserved among the attributes of objects: the context of the grant that wrote it, as JSON. */
export const contextAttribute = "grant-context";

/**
 * The key of an upload whose client names none: the one that its grant is for, or of the grant's template; else
 * a new name that nobody can guess or already has, followed by the file's own, so that two clients that send
 * `photo.jpg` do not replace each other's. `invalid_key`.
 */
export function keyForUpload(actor: Actor, { filename, now }: TemplateValues): ObjectKey {
  const { key, template, prefix = "" } = scopeOf(actor) ?? {};
  if (key !== undefined) return parseKey(key);
  if (template !== undefined) return keyOfTemplate(template, { filename, now });
  const file = filename ? `/${keyName(filename)}` : "";
  return parseKey(`${prefix}${newVersion(now)}${file}`);
}

/** For the record of an upload that the actor makes; a partial is no object, and takes no use. */
export function grantTerms(
  actor: Actor,
  { isCounted = true }: { readonly isCounted?: boolean } = {},
): GrantTerms | null {
  const scope = scopeOf(actor);
  if (scope === undefined) return null;
  const { use, minBytes, maxBytes, contentTypes, context } = scope;
  return {
    ...(use === undefined || !isCounted ? {} : { use }),
    ...(minBytes === undefined ? {} : { minBytes }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(contentTypes === undefined ? {} : { contentTypes }),
    ...(context === undefined ? {} : { context }),
  };
}

/** For what writes a whole object in one transaction. */
export function grantUse(actor: Actor): { readonly grantUse?: GrantUse } {
  const use = scopeOf(actor)?.use;
  return use === undefined ? {} : { grantUse: use };
}

/** The caller's conditions, and that of the grant's template. */
export function grantConditions(actor: Actor, conditions: WriteConditions = {}): WriteConditions {
  const template = scopeOf(actor)?.template;
  return template !== undefined && isCreateOnly(template)
    ? { ...conditions, ifAbsent: true }
    : conditions;
}

/**
 * The attributes of an object with the context of the grant that writes it (`undefined`: none), in the place of
 * any that they held.
 */
export function withContext(
  { [contextAttribute]: _before, ...attributes }: ObjectAttributes,
  context: string | undefined,
): ObjectAttributes {
  return context === undefined ? attributes : { ...attributes, [contextAttribute]: context };
}

/** Of the actor's grant. */
export function contextOf(actor: Actor): string | undefined {
  return scopeOf(actor)?.context;
}

/** An early answer for what is bound to fail; the store counts again, in its transaction. `access_denied`. */
export async function assertUsesLeft(
  actor: Actor,
  metadata: Pick<MetadataStore, "getGrantUses">,
): Promise<void> {
  const use = scopeOf(actor)?.use;
  if (use === undefined || (await metadata.getGrantUses(use.id)) < use.usesMax) return;
  throw new OperationalError(
    "access_denied",
    `the grant's count of ${use.usesMax} uploads is used up`,
    { context: { count: use.usesMax } },
  );
}

function scopeOf(actor: Actor): GrantScope | undefined {
  return actor.kind === "grant" ? actor.scope : undefined;
}
