// How does the load generator sign? As Roma's own driver does, with the body left unsigned: a hash of it
// would measure the client. Heads are made before the clock starts.

import { unsignedPayload } from "../../packages/server/src/storage/s3/signatures/signature.ts";
import { sigV4 } from "../../packages/server/src/storage/s3/signatures/sigv4.ts";
import type { Target } from "./tasks.ts";

/** Header lines with CRLF; none where the target needs no signature. `path` with its query, encoded. */
export function signedLines(method: string, path: string, target: Target): string {
  const { signing, host, port } = target;
  if (signing === undefined) return "";
  const [bare = "", query] = path.split("?");
  const pairs = [...new URLSearchParams(query)];
  const { host: _host, ...lines } = sigV4.headers(
    {
      ...{ method, host: `${host}:${port}`, path: bare, query: pairs, bucket: "" },
      headers: {},
      payloadHash: unsignedPayload,
    },
    { credentials: signing, region: signing.region, at: new Date() },
  );
  return Object.entries(lines)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
}
