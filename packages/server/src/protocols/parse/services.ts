/** What the protocol needs of the server, and what each of its handlers is given. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Gate } from "../../authentication/index.ts";
import type { Buckets } from "../../core/buckets.ts";
import type { DataEnvironment } from "../../core/environment.ts";
import type { Objects } from "../../core/objects.ts";
import type { StagedUploads } from "../../core/staged-uploads.ts";
import type { Uploads } from "../../core/uploads.ts";
import type { Applications } from "./applications.ts";
import type { Replays } from "./replays.ts";
import type { Sessions } from "./sessions.ts";

export interface ParseServices extends Gate {
  readonly uploads: Uploads;
  readonly staged: StagedUploads;
  readonly objects: Objects;
  readonly buckets: Buckets;
  readonly environment: DataEnvironment;
  readonly applications: Applications;
  readonly sessions: Sessions;
  readonly replays: Replays;
  /** Where clients reach the server; left out: as the request came. */
  readonly publicUrl?: string;
}

/** One request on its way through a handler. */
export interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

export type Handler = (exchange: Exchange) => Promise<FastifyReply>;
