/** Giving an unfinished upload up at the server. */
import type { Caller } from "../caller.ts";

/** What the server says to it does not matter: it ends by itself what nobody goes on with. */
export async function freeUpload(caller: Caller, path: string): Promise<void> {
  const request = { method: "DELETE", path, headers: {} };
  await caller.once(request).then(
    (response) => response.discard(),
    () => {},
  );
}
