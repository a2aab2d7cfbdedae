/** The `Repr-Digest` field (RFC 9530), for the digests that the SDK knows or is given. */
import type { DirectChecksumsJson } from "@roma/contract";

const names = { crc64nvme: "crc64nvme", sha256: "sha-256", md5: "md5" } as const;

/** The field for hex digests; nothing for none. Throws a `TypeError` for what is not hex. */
export function formatReprDigest(checksums: DirectChecksumsJson): {
  readonly "repr-digest"?: string;
} {
  const members = Object.entries(names).flatMap(([name, algorithm]) => {
    const hex = checksums[name as keyof typeof names];
    if (hex === undefined) return [];
    if (!/^([0-9a-f]{2})+$/.test(hex)) throw new TypeError(`${name} must be lower-case hex digits`);
    const bytes = hex.match(/../g) ?? [];
    return [
      `${algorithm}=:${btoa(String.fromCharCode(...bytes.map((pair) => parseInt(pair, 16))))}:`,
    ];
  });
  return members.length === 0 ? {} : { "repr-digest": members.join(", ") };
}

/** The CRC in a `Repr-Digest` field as hex, or `undefined` when it is absent or not readable. */
export function parseCrc64NvmeField(field: string | undefined): string | undefined {
  const match = field?.match(/(?:^|,)\s*crc64nvme=:([A-Za-z0-9+/]{11}=):/);
  if (match?.[1] === undefined) return undefined;
  return Array.from(atob(match[1]), (character) =>
    character.charCodeAt(0).toString(16).padStart(2, "0"),
  ).join("");
}
