/**
 * The order of the limits in time: who waits for another must not give up first. A configuration that breaks
 * it is refused at the start, with both options; what nobody set, and limits that are no options, are cut to it.
 */
import { formatDuration } from "./config/units.ts";
import { workMsMaxUnset } from "./http/config.ts";

/** What the rules look at: milliseconds. */
export interface TimeLimits {
  readonly http: {
    readonly workMsMax: number;
    readonly transferMsMax: number;
    readonly gatewayMsMax?: number | undefined;
  };
  readonly parse: { readonly sessionMsMax?: number | undefined };
}

export interface BrokenOrder {
  /** Of the option that is too long. */
  readonly path: readonly string[];
  readonly message: string;
}

type Limit = readonly [name: string, ms: number | undefined];

/** What is wrong with the order; empty when nothing is. */
export function brokenOrders({ http, parse }: TimeLimits): readonly BrokenOrder[] {
  const work: Limit = ["http.workMsMax", http.workMsMax];
  const unset = workMsMaxUnset(http);
  const isUnset = unset.by !== undefined && unset.ms === http.workMsMax;
  const gateway: Limit = ["http.gatewayMsMax", http.gatewayMsMax];
  return [
    ...order(work, gateway, "work would go on after the proxy said that it failed"),
    ...order(work, ["http.transferMsMax", http.transferMsMax], "a request holds its own work"),
    ...order(
      ["parse.sessionMsMax", parse.sessionMsMax],
      isUnset ? [`what http.${unset.by} leaves for http.workMsMax`, unset.ms] : work,
      "a question about a session would outlive the request that asks it",
    ),
  ];
}

function order([child, childMs]: Limit, [parent, parentMs]: Limit, why: string): BrokenOrder[] {
  if (childMs === undefined || parentMs === undefined || childMs <= parentMs) return [];
  const limits = `${formatDuration(childMs)} is longer than ${parent}, ${formatDuration(parentMs)}`;
  return [{ path: child.split("."), message: `${limits}: ${why}` }];
}
