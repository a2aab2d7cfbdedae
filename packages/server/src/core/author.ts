/** Whom a change is put down to. */
import type { Actor } from "./access.ts";
import type { Author } from "./ports/author.ts";

/** Of what the actor of a request changes. */
export function authorOf(actor: Actor): Author {
  const origin = actor.origin ?? null;
  switch (actor.kind) {
    case "anonymous":
      return { kind: "anonymous", id: null, grantId: null, context: null, origin };
    case "key":
      return { kind: "key", id: actor.keyId, grantId: null, context: null, origin };
    case "grant": {
      const { id = null, context = null } = actor.scope;
      return { kind: "grant", id: actor.keyId, grantId: id, context, origin };
    }
  }
}
