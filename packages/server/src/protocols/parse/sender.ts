/** Whom a limit by address is for: an IPv4 address, or the /64 that one customer of a network has of IPv6. */
import { isIPv6 } from "node:net";

export function senderOf(address: string | null): string {
  if (address === null || !isIPv6(address)) return address ?? "";
  const [head = "", tail] = address.split("%", 1)[0]?.split("::") ?? [];
  const first = groupsOf(head);
  const last = groupsOf(tail ?? "");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const groups = [...first, ...Array<string>(zeros).fill("0"), ...last].slice(0, 4);
  return groups.map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}

/** An IPv4 address at the end takes the place of two. */
function groupsOf(text: string): readonly string[] {
  const groups = text === "" ? [] : text.split(":");
  return groups.flatMap((group) => (group.includes(".") ? ["0", "0"] : [group]));
}
