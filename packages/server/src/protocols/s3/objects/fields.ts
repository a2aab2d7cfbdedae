/**
 * What a request says of its object: in headers, or in the query of a presigned URL, where signers put
 * what they would have sent as headers.
 */
import type { Exchange } from "../services.ts";
import type { Fields } from "./described.ts";

export function fieldsOf({ request, caller }: Pick<Exchange, "request" | "caller">): Fields {
  const headers = request.raw.headersDistinct;
  const { hoisted } = caller;
  return {
    get: (name) => {
      const sent = headers[name];
      if (sent !== undefined) return sent.join(",");
      const value = hoisted.get(name);
      // As a header would have come: the bytes of UTF-8 as Latin-1.
      return value === undefined ? undefined : Buffer.from(value).toString("latin1");
    },
    names: (prefix) =>
      [...new Set([...Object.keys(headers), ...hoisted.keys()])].filter((name) =>
        name.startsWith(prefix),
      ),
  };
}
