/** `createClient`: the client over node:http(s). */
import type { Credential } from "../caller.ts";
import { Client } from "../client.ts";
import type { RetryPolicy } from "../retry.ts";
import { type NodeSource, toBody } from "./sources.ts";
import { NodeTransport, type TransportLimits } from "./transport.ts";

export type NodeClient = Client<NodeSource>;

export interface ClientOptions {
  /** `https://files.example.com`, with a path in front of `/v1` if a proxy adds one. */
  readonly endpoint: string;
  /** `ID.SECRET`, `ID:SECRET`, a grant, or a function that has one for each attempt. */
  readonly credential?: Credential | undefined;
  readonly retry?: Partial<RetryPolicy> | undefined;
  readonly limits?: Partial<TransportLimits> | undefined;
}

/** Makes a client. Throws a `TypeError` when the endpoint is not an http(s) address. */
export function createClient(options: ClientOptions): NodeClient {
  const { credential, retry } = options;
  const transport = new NodeTransport(options.endpoint, options.limits);
  return new Client({ transport, toBody }, { credential, retry });
}
