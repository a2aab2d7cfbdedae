/**
 * The applications whose files are kept here: those of the configuration, or without any the access keys
 * themselves, of which each is an application with its id as application id and its secret as master key.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Secret } from "../../config/index.ts";
import type { Actor } from "../../core/access.ts";
import type { AccessKeys } from "../../core/access-keys.ts";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import { type ApplicationConfig, applicationConfig, type ParseConfig } from "./config.ts";
import { type ClientKeyName, type Credentials, clientKeyHeaders } from "./credentials.ts";

export interface Application {
  readonly id: string;
  readonly config: Omit<ApplicationConfig, "masterKey" | ClientKeyName>;
  /** Of one file, in bytes. */
  readonly bytesMax: number;
  /** Whether it is an access key that nobody configured as an application. */
  readonly isImplied: boolean;
  /** By whose policy core judges what the application does. `access_denied` if its access key is gone. */
  actor(): Promise<Actor>;
  hasMasterKey(given: string): Promise<boolean>;
  /** Whether one of the client keys fits; true where none is configured. */
  hasClientKey(given: Credentials["clientKeys"]): boolean;
  /** For a request to the application's parse-server. */
  sessionHeaders(): Readonly<Record<string, string>>;
}

export class Applications {
  readonly #config: ParseConfig;
  readonly #accessKeys: AccessKeys;
  readonly #configured: ReadonlyMap<string, Application>;

  constructor(config: ParseConfig, accessKeys: AccessKeys) {
    this.#config = config;
    this.#accessKeys = accessKeys;
    const made = config.applications.map((application) => this.#configuredOne(application));
    this.#configured = new Map(made.map((application) => [application.id, application]));
  }

  async find(id: string): Promise<Application | undefined> {
    if (this.#configured.size > 0) return this.#configured.get(id);
    return (await this.#accessKeys.open(id)) === undefined ? undefined : this.impliedBy(id);
  }

  /** Where any file may be at most, before it is known whose it is. */
  get bytesMax(): number {
    const all = [...this.#configured.values()].map(({ bytesMax }) => bytesMax);
    return all.length === 0 ? this.#config.maxUploadSize : Math.max(...all);
  }

  /** Where a file most likely goes: the bucket of the only application, or of the first. */
  get likelyBucket(): string {
    const [first] = this.#configured.values();
    return first?.config.bucket ?? impliedConfig("-").bucket;
  }

  /** An access key as application; nobody looks whether there is such a key. */
  impliedBy(keyId: string): Application {
    const accessKeys = this.#accessKeys;
    return {
      id: keyId,
      config: impliedConfig(keyId),
      bytesMax: this.#config.maxUploadSize,
      isImplied: true,
      actor: () => actorOf(accessKeys, keyId),
      hasMasterKey: (given) => isSecretOf(accessKeys, keyId, given),
      hasClientKey: () => true,
      sessionHeaders: () => ({}),
    };
  }

  get isConfigured(): boolean {
    return this.#configured.size > 0;
  }

  #configuredOne(config: ApplicationConfig): Application {
    const { masterKey, clientKey, javascriptKey, restAPIKey, dotNetKey, ...rest } = config;
    const clientKeys = { clientKey, javascriptKey, restAPIKey, dotNetKey };
    return {
      id: config.appId,
      config: rest,
      bytesMax: config.maxUploadSize ?? this.#config.maxUploadSize,
      isImplied: false,
      actor: () => actorOf(this.#accessKeys, config.accessKeyId),
      hasMasterKey: async (given) => masterKey !== undefined && isSame(masterKey, given),
      hasClientKey: (given) => hasOneOf(clientKeys, given),
      sessionHeaders: () => ({
        "x-parse-application-id": config.appId,
        ...headersOfKeys(clientKeys),
      }),
    };
  }
}

function impliedConfig(keyId: string): ApplicationConfig {
  return applicationConfig.parse({ appId: "-", accessKeyId: keyId });
}

async function actorOf(accessKeys: AccessKeys, keyId: string): Promise<Actor> {
  const opened = await accessKeys.open(keyId);
  if (opened !== undefined) return { kind: "key", keyId, policy: opened.record.policy };
  throw new OperationalError(
    "access_denied",
    "the access key of this application is not there, or is disabled",
    { context: { keyId } },
  );
}

async function isSecretOf(accessKeys: AccessKeys, keyId: string, given: string): Promise<boolean> {
  try {
    await accessKeys.authenticate(keyId, given);
    return true;
  } catch (error) {
    if (isOperationalError(error, "unauthenticated")) return false;
    throw error;
  }
}

function headersOfKeys(
  keys: Readonly<Record<ClientKeyName, Secret | undefined>>,
): Readonly<Record<string, string>> {
  const known = (Object.entries(keys) as [ClientKeyName, Secret | undefined][]).flatMap(
    ([name, key]) => (key === undefined ? [] : [[clientKeyHeaders[name], key.reveal()] as const]),
  );
  return Object.fromEntries(known);
}

/** All are compared, so that the time of an answer does not tell which is right. */
function hasOneOf(
  configured: Readonly<Record<ClientKeyName, Secret | undefined>>,
  given: Credentials["clientKeys"],
): boolean {
  let isAny = false;
  let isRight = false;
  for (const [name, key] of Object.entries(configured) as [ClientKeyName, Secret | undefined][]) {
    if (key === undefined) continue;
    isAny = true;
    isRight = isSame(key, given[name] ?? "") || isRight;
  }
  return isRight || !isAny;
}

// Hashed first: equal lengths, and no early end on the first different character.
function isSame(expected: Secret, given: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(expected.reveal()), hash(given));
}
