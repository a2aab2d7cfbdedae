// Kinds of storages: what the registry has to know of a driver to open it from settings that came over
// the wire, and which of those settings are secret.

import { strict as assert } from "node:assert";
import type { z } from "zod";
import { Secret } from "../../config/index.ts";
import { OperationalError } from "../../core/errors.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type { StorageSettings } from "../../core/ports/storages.ts";
import type { StorageMark } from "../marker.ts";

export type Settings = StorageSettings;

export interface OpenRequest {
  readonly id: string;
  /** Of the storage as it was found before; absent for one that is new to us. */
  readonly markerUuid?: string;
}

export interface OpenedDriver {
  readonly driver: StorageDriver;
  /** Of a driver that keeps a mark by itself. For the others the registry keeps one as a blob. */
  readonly mark?: StorageMark;
}

/** Settings that were checked. */
export interface CheckedSettings {
  /** With defaults; secrets print redacted, so it may be shown. */
  readonly shown: Settings;
  /** As given, without the secret ones … */
  readonly open: Settings;
  /** … and the secret ones alone; empty if there are none. */
  readonly secret: Settings;
  openDriver(request: OpenRequest): Promise<OpenedDriver>;
}

export interface StorageKind {
  /** `invalid_request` with every problem and its path. */
  check(settings: Settings): CheckedSettings;
}

/** The kind of a driver: its config's schema, and how it is opened with what the schema answers. */
export function storageKind<Config>(kind: {
  readonly schema: z.ZodType<Config>;
  readonly open: (config: Config, request: OpenRequest) => Promise<OpenedDriver>;
}): StorageKind {
  return {
    check(settings) {
      const parsed = kind.schema.safeParse(settings);
      if (!parsed.success) throw wrongSettings(parsed.error);
      const { open, secret } = split(settings, parsed.data);
      // A schema that moves a secret to another name would have it stored in the clear.
      assert.equal(
        countSecrets(parsed.data, secret),
        countSecrets(parsed.data),
        "secrets stay put",
      );
      return {
        shown: shownOf(parsed.data),
        open,
        secret,
        openDriver: (request) => kind.open(parsed.data, request),
      };
    },
  };
}

/** What `split` took apart. A setting of `changes` replaces one; `null` removes it. */
export function merge(settings: Settings, changes: Settings): Settings {
  const merged: Record<string, unknown> = { ...settings };
  for (const [name, change] of Object.entries(changes)) {
    const before = merged[name];
    if (change === null) delete merged[name];
    else if (isObject(change) && isObject(before)) merged[name] = merge(before, change);
    else merged[name] = change;
  }
  return merged;
}

/** Without those that only repeat what was shown: a redacted secret is no new secret. */
export function withoutRedacted(changes: Settings): Settings {
  const redacted = String(new Secret("any"));
  return Object.fromEntries(
    Object.entries(changes)
      .filter(([, value]) => value !== redacted)
      .map(([name, value]) => [name, isObject(value) ? withoutRedacted(value) : value]),
  );
}

/** A setting is secret if its schema made a `Secret` of it. */
function split(given: Settings, parsed: unknown): { open: Settings; secret: Settings } {
  const open: Record<string, unknown> = {};
  const secret: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    const made = isObject(parsed) ? parsed[name] : undefined;
    if (made instanceof Secret || (Array.isArray(made) && countSecrets(made) > 0)) {
      secret[name] = value;
    } else if (isObject(value)) {
      const parts = split(value, made);
      open[name] = parts.open;
      if (Object.keys(parts.secret).length > 0) secret[name] = parts.secret;
    } else {
      open[name] = value;
    }
  }
  return { open, secret };
}

/** Of those in what a schema made, only the ones that lie where `within` has something. */
function countSecrets(made: unknown, within?: unknown): number {
  if (made instanceof Secret) return 1;
  if (Array.isArray(made)) return made.reduce<number>((sum, item) => sum + countSecrets(item), 0);
  if (!isObject(made)) return 0;
  return Object.entries(made).reduce((sum, [name, value]) => {
    if (within === undefined) return sum + countSecrets(value);
    return isObject(within) && name in within ? sum + countSecrets(value, within[name]) : sum;
  }, 0);
}

function shownOf(config: unknown): Settings {
  const shown: unknown = JSON.parse(JSON.stringify(config));
  return isObject(shown) ? shown : {};
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Names the settings and what is wrong; never a value, which may be the secret itself. */
function wrongSettings(error: z.ZodError): OperationalError {
  const problems = error.issues.map(({ path, message }) => {
    const name = path.join(".");
    return name === "" ? message : `${name}: ${message}`;
  });
  return new OperationalError("invalid_request", `settings: ${problems.join("; ")}`, {
    context: { field: "settings" },
  });
}
