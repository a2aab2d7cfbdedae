/**
 * Whose a session is: asked of the application's parse-server (`GET /users/me`), within a deadline, and believed
 * for a short time. Requests with one token that come together ask once. Tokens themselves are not kept.
 */
import { createHash } from "node:crypto";
import { Agent, request as send } from "undici";
import { z } from "zod";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";
import type { Application } from "./applications.ts";
import { forbidden, parseCodes, refusal } from "./errors.ts";

export interface SessionUser {
  /** The `objectId` of the user. */
  readonly id: string;
  readonly isAnonymous: boolean;
}

export interface SessionsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** For one question. */
  readonly msMax: number;
  /** How long an answer is believed; 0: each request asks. */
  readonly cacheMs: number;
}

const cachedMax = 10_000;
/** Of the answer: a user with everything that the application keeps of him. */
const answerBytesMax = 1024 * 1024;
const refusedMsMax = 5_000;
const connectionsMax = 32;

const userSchema = z.object({
  objectId: z.string().min(1).max(128),
  authData: z.record(z.string(), z.unknown()).nullish(),
});

interface Kept {
  /** `undefined`: the parse-server knows no such session. */
  readonly user: SessionUser | undefined;
  readonly untilMs: number;
}

export class Sessions implements AsyncDisposable {
  readonly #options: SessionsOptions;
  readonly #agent = new Agent({ connections: connectionsMax, pipelining: 1 });
  readonly #kept = new Map<string, Kept>();
  readonly #asking = new Map<string, Promise<SessionUser | undefined>>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /**
   * Code 209 for a token that the parse-server does not know; `unavailable` when it does not answer in time;
   * `access_denied` where nobody can be asked.
   */
  async userOf(application: Application, token: string): Promise<SessionUser> {
    const name = createHash("sha256").update(`${application.id}\0${token}`).digest("base64");
    const kept = this.#kept.get(name);
    const user =
      kept !== undefined && kept.untilMs > this.#options.clock.monotonicMs()
        ? kept.user
        : await this.#askOnce(name, application, token);
    if (user !== undefined) return user;
    throw refusal("unauthenticated", parseCodes.invalidSessionToken, "Invalid session token", {
      status: 400,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  #askOnce(
    name: string,
    application: Application,
    token: string,
  ): Promise<SessionUser | undefined> {
    const asked =
      this.#asking.get(name) ??
      this.#ask(application, token).finally(() => this.#asking.delete(name));
    if (!this.#asking.has(name)) {
      this.#asking.set(name, asked);
      asked.then((user) => this.#keep(name, user)).catch(() => undefined);
    }
    return asked;
  }

  #keep(name: string, user: SessionUser | undefined): void {
    const { cacheMs, clock } = this.#options;
    const ms = user === undefined ? Math.min(cacheMs, refusedMsMax) : cacheMs;
    if (ms === 0) return;
    if (this.#kept.size >= cachedMax) this.#kept.clear();
    this.#kept.set(name, { user, untilMs: clock.monotonicMs() + ms });
  }

  async #ask(application: Application, token: string): Promise<SessionUser | undefined> {
    const { serverURL } = application.config;
    if (serverURL === undefined) {
      throw forbidden("Sessions cannot be checked: the application has no serverURL configured.");
    }
    const { status, text } = await this.#get(`${serverURL.replace(/\/+$/, "")}/users/me`, {
      ...application.sessionHeaders(),
      "x-parse-session-token": token,
    });
    if (status === 200) return userOfAnswer(text);
    if (codeOf(text) === parseCodes.invalidSessionToken) return undefined;
    this.#options.log.warn(
      { applicationId: application.id, status },
      "a parse-server did not say whose a session is",
    );
    if (status >= 400 && status < 500) {
      throw forbidden(
        "The session could not be checked: the parse-server refuses to say whose it is.",
      );
    }
    throw notAnswered(`status ${status}`);
  }

  async #get(
    url: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const { msMax } = this.#options;
    const signal = AbortSignal.timeout(msMax);
    try {
      const { statusCode, body } = await send(url, { dispatcher: this.#agent, headers, signal });
      const chunks: Buffer[] = [];
      let bytes = 0;
      // Ending the loop early destroys the body, so that no connection waits for a reader.
      for await (const chunk of body) {
        if (!Buffer.isBuffer(chunk)) continue;
        bytes += chunk.length;
        if (bytes > answerBytesMax) throw notAnswered("an answer that is too large");
        chunks.push(chunk);
      }
      return { status: statusCode, text: Buffer.concat(chunks).toString("utf8") };
    } catch (error) {
      if (isOperationalError(error)) throw error;
      throw notAnswered(signal.aborted ? "no answer in time" : "no connection", error);
    }
  }
}

function userOfAnswer(text: string): SessionUser {
  const parsed = userSchema.safeParse(jsonOf(text));
  if (!parsed.success) throw notAnswered("an answer that is no user");
  const { objectId, authData } = parsed.data;
  return { id: objectId, isAnonymous: authData?.anonymous != null };
}

function codeOf(text: string): unknown {
  const value = jsonOf(text);
  return typeof value === "object" && value !== null ? Reflect.get(value, "code") : undefined;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function notAnswered(what: string, cause?: unknown): OperationalError {
  return new OperationalError("unavailable", `the parse-server that knows the sessions: ${what}`, {
    cause,
  });
}
