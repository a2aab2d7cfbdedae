/** The `Repr-Digest` field (RFC 9530) for the one digest every Roma server knows, CRC-64/NVME. */

/** `crc64nvme=:BASE64:` for 16 hex digits. */
export function formatCrc64NvmeField(hex: string): string {
  const bytes = hex.match(/../g) ?? [];
  const text = String.fromCharCode(...bytes.map((pair) => Number.parseInt(pair, 16)));
  return `crc64nvme=:${btoa(text)}:`;
}

/** The CRC in a `Repr-Digest` field as hex, or `undefined` when it is absent or not readable. */
export function parseCrc64NvmeField(field: string | undefined): string | undefined {
  const match = field?.match(/(?:^|,)\s*crc64nvme=:([A-Za-z0-9+/]{11}=):/);
  if (match?.[1] === undefined) return undefined;
  return Array.from(atob(match[1]), (character) =>
    character.charCodeAt(0).toString(16).padStart(2, "0"),
  ).join("");
}
