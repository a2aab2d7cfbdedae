/** The eight groups of an IPv6 address (RFC 4291 §2.2), without its zone; an IPv4 address at the end is two of them. */
export function groupsOfIPv6(address: string): readonly number[] {
  const [head = "", tail] = address.split("%", 1)[0]?.split("::") ?? [];
  const first = groupsOf(head);
  const last = groupsOf(tail ?? "");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  return [...first, ...Array<number>(zeros).fill(0), ...last];
}

function groupsOf(text: string): readonly number[] {
  const groups = text === "" ? [] : text.split(":");
  return groups.flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [256 * a + b, 256 * c + d];
  });
}
