/** Base64 in a page, in slices: one text of a whole file beside its bytes is enough. */

const sliceBytes = 24 * 1024;
const sliceLetters = (sliceBytes / 3) * 4;

/** Throws a `DOMException` for what is no base64. */
export function decodedBase64(text: string): Blob {
  const letters = text.replace(/\s+/g, "").replace(/-/g, "+").replace(/_/g, "/");
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < letters.length; at += sliceLetters) {
    const binary = atob(letters.slice(at, at + sliceLetters));
    parts.push(Uint8Array.from(binary, (unit) => unit.charCodeAt(0)));
  }
  return new Blob(parts);
}

export async function encodedBase64(blob: Blob): Promise<string> {
  const parts: string[] = [];
  for (let at = 0; at < blob.size; at += sliceBytes) {
    const bytes = new Uint8Array(await blob.slice(at, at + sliceBytes).arrayBuffer());
    parts.push(btoa(String.fromCharCode(...bytes)));
  }
  return parts.join("");
}
