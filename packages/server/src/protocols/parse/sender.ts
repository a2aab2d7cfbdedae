/** Whom a limit by address is for: an IPv4 address, or the /64 that one customer of a network has of IPv6. */
import { isIPv6 } from "node:net";
import { groupsOfIPv6 } from "../../http/ip-groups.ts";

export function senderOf(address: string | null): string {
  if (address === null || !isIPv6(address)) return address ?? "";
  const network = groupsOfIPv6(address).slice(0, 4);
  return network.map((group) => group.toString(16)).join(":");
}
