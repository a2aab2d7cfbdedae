/** Access keys: making, keeping and checking them. A secret is only ever in memory or sealed. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { PolicyStatementJson } from "@roma/contract";
import { type Actor, authorize } from "./access.ts";
import { authorOf } from "./author.ts";
import { isOperationalError, OperationalError } from "./errors.ts";
import { grantKeyId, verifyGrant } from "./grants.ts";
import { serverAuthor } from "./ports/author.ts";
import type { Clock } from "./ports/clock.ts";
import type { AccessKeyRecord, Author, MetadataStore } from "./ports/metadata-store.ts";
import { noSiblings, type Siblings } from "./ports/siblings.ts";
import { RecordCache } from "./record-cache.ts";
import { withFacts } from "./refusal-facts.ts";
import type { Sealer } from "./sealing.ts";

/** A key's facts and its secret, for what signs with it. Never logged, never answered. */
export interface OpenedKey {
  readonly record: AccessKeyRecord;
  readonly secret: string;
}

/** How long the key is kept that every request asks for. */
const cacheMs = 5_000;
const cachedKeysMax = 10_000;

const idPattern = /^(?!eyJ)[A-Za-z0-9_-]{3,128}$/;
const secretPattern = /^[\x21-\x7e]{8,256}$/;

/** Everything, and what `*` does not imply. */
export const rootPolicy: readonly PolicyStatementJson[] = [
  { buckets: ["*"], actions: ["*", "bulk:delete"] },
];

/** Compared with when a key is unknown, so that the time of an answer does not tell. */
const nobodysSecret = randomBytes(32).toString("hex");

export class AccessKeys {
  readonly #metadata: MetadataStore;
  readonly #sealer: Sealer;
  readonly #clock: Clock;
  readonly #cache: RecordCache<OpenedKey>;

  constructor(options: {
    readonly metadata: MetadataStore;
    readonly sealer: Sealer;
    readonly clock: Clock;
    readonly siblings?: Siblings;
  }) {
    const { clock, siblings = noSiblings() } = options;
    this.#metadata = options.metadata;
    this.#sealer = options.sealer;
    this.#clock = clock;
    this.#cache = new RecordCache({
      ...{ clock, siblings, name: "access-keys", msMax: cacheMs, recordsMax: cachedKeysMax },
    });
  }

  /** `unauthenticated`, with the same words and time for an unknown id and a wrong secret. */
  async authenticate(id: string, secret: string): Promise<Actor> {
    const opened = await this.open(id);
    const right = sameSecret(opened?.secret ?? nobodysSecret, secret);
    if (opened === undefined || !right) {
      const error = new OperationalError("unauthenticated", "the key id or its secret is wrong");
      // Of no key it may be anything, a secret in the wrong place among others.
      throw opened === undefined ? error : withFacts(error, { claimedKeyId: id });
    }
    return { kind: "key", keyId: id, policy: opened.record.policy };
  }

  /** `unauthenticated` or `expired`. */
  async authenticateGrant(token: string): Promise<Actor> {
    const keyId = grantKeyId(token);
    const opened = await this.open(keyId);
    try {
      const scope = verifyGrant(token, opened?.secret ?? nobodysSecret, this.#clock.now());
      if (opened === undefined)
        throw new OperationalError("unauthenticated", "the grant's key is unknown");
      return { kind: "grant", keyId, policy: opened.record.policy, scope };
    } catch (error) {
      if (opened === undefined || !isOperationalError(error)) throw error;
      throw withFacts(error, { claimedKeyId: keyId });
    }
  }

  /** The key with its secret, for protocols whose signatures need it; `undefined` if it may not be used. */
  async open(id: string): Promise<OpenedKey | undefined> {
    return await this.#cache.get(id, async () => {
      const record = await this.#metadata.getAccessKey(id);
      if (record === undefined || !record.enabled) return undefined;
      return { record, secret: this.#sealer.open(record.sealedSecret, id) };
    });
  }

  /** Answers the secret, this once. */
  async create(
    actor: Actor,
    options: { readonly name: string; readonly policy: readonly PolicyStatementJson[] },
  ): Promise<OpenedKey> {
    authorize(actor, "key:write", {});
    const author = authorOf(actor);
    return this.#add({ id: newKeyId(), secret: newSecret() }, { ...options, author });
  }

  newIdAndSecret(): { readonly id: string; readonly secret: string } {
    return { id: newKeyId(), secret: newSecret() };
  }

  /** For the start: the root key, which may do everything. An existing one gets this secret. */
  async ensureRoot(root: { readonly id: string; readonly secret: string }): Promise<OpenedKey> {
    const { id, secret } = root;
    const policy = rootPolicy;
    const existing = await this.#metadata.getAccessKey(id);
    const author = serverAuthor("start");
    if (existing === undefined) return this.#add(root, { name: "root", policy, author });
    assertIdAndSecret(id, secret);
    const sealedSecret = this.#sealer.seal(secret, id);
    const changes = { policy, enabled: true, sealedSecret };
    const record = await this.#cache.changing(id, () =>
      this.#metadata.changeAccessKey(id, changes, { author }),
    );
    return { record, secret };
  }

  async get(actor: Actor, id: string): Promise<AccessKeyRecord> {
    authorize(actor, "key:read", {});
    const record = await this.#metadata.getAccessKey(id);
    if (record === undefined) throw unknownKey(id);
    return record;
  }

  async list(actor: Actor): Promise<readonly AccessKeyRecord[]> {
    authorize(actor, "key:read", {});
    return this.#metadata.listAccessKeys();
  }

  async change(
    actor: Actor,
    id: string,
    changes: {
      readonly name?: string;
      readonly policy?: readonly PolicyStatementJson[];
      readonly enabled?: boolean;
    },
  ): Promise<AccessKeyRecord> {
    authorize(actor, "key:write", {});
    assertNotOwn(actor, id, changes.enabled === false || changes.policy !== undefined);
    const author = authorOf(actor);
    return await this.#cache.changing(id, () =>
      this.#metadata.changeAccessKey(id, changes, { author }),
    );
  }

  async delete(actor: Actor, id: string): Promise<void> {
    authorize(actor, "key:write", {});
    assertNotOwn(actor, id, true);
    const author = authorOf(actor);
    await this.#cache.changing(id, () => this.#metadata.deleteAccessKey(id, { author }));
  }

  async #add(
    { id, secret }: { readonly id: string; readonly secret: string },
    options: {
      readonly name: string;
      readonly policy: readonly PolicyStatementJson[];
      readonly author: Author;
    },
  ): Promise<OpenedKey> {
    assertIdAndSecret(id, secret);
    const record: AccessKeyRecord = {
      id,
      name: options.name,
      policy: options.policy,
      sealedSecret: this.#sealer.seal(secret, id),
      createdAt: this.#clock.now(),
      enabled: true,
    };
    await this.#metadata.createAccessKey(record, { author: options.author });
    return { record, secret };
  }
}

/** `ROMAXXXXXXXXXXXXXXXX`: 80 random bits in base 32. */
function newKeyId(): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  return `ROMA${Array.from(randomBytes(16), (byte) => alphabet[byte & 31]).join("")}`;
}

/** 240 random bits, 40 characters. */
function newSecret(): string {
  return randomBytes(30).toString("base64url");
}

// Both sides are hashed first: equal lengths, and no early end on the first different character.
function sameSecret(expected: string, given: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(expected), hash(given));
}

function assertIdAndSecret(id: string, secret: string): void {
  if (!idPattern.test(id)) {
    throw new OperationalError(
      "invalid_request",
      "key id must be 3 to 128 letters, digits, '_' or '-', and not begin with 'eyJ'",
    );
  }
  if (!secretPattern.test(secret)) {
    throw new OperationalError(
      "invalid_request",
      "secret must be 8 to 256 printable ASCII characters without spaces",
    );
  }
}

/** A key that locks itself out cannot be brought back by itself. */
function assertNotOwn(actor: Actor, id: string, locksOut: boolean): void {
  if (locksOut && actor.kind !== "anonymous" && actor.keyId === id) {
    throw new OperationalError("access_denied", "a key cannot disable, delete or re-policy itself");
  }
}

function unknownKey(id: string): OperationalError {
  return new OperationalError("key_not_found", "there is no such access key", {
    context: { keyId: id },
  });
}
