/** Who changes something, as the metadata store keeps it with the change. */

/** How a request came. */
export interface RequestOrigin {
  /** The client's IP address, as far as it is known: behind a trusted proxy the one that it names. */
  readonly address: string | null;
  /** The address of the trusted proxy that named the client's; null: the client connected itself. */
  readonly via: string | null;
  readonly requestId: string;
  /** The front end: `rest`, `s3`, `tus`. */
  readonly protocol: string;
}

/** Can be sent to a thread and written down: no secret, signature or token is in it. */
export interface Author {
  /** `server`: nobody asked, the server does it by itself. */
  readonly kind: "key" | "grant" | "anonymous" | "server";
  /** The access key; of a grant the key that signed it; of the server what of it acts. Null: nobody's. */
  readonly id: string | null;
  /** The grant's own id (its claim `jti`), if it has one. */
  readonly grantId: string | null;
  /** The grant's context, as JSON. */
  readonly context: string | null;
  /** Null: no request. */
  readonly origin: RequestOrigin | null;
}

/** For the options of a call that changes something. */
export interface Authored {
  readonly author: Author;
}

/** Of what the server does by itself; `part` says what of it: `sweeper`. */
export function serverAuthor(part: string): Author {
  return { kind: "server", id: part, grantId: null, context: null, origin: null };
}
