/** The number of a part in a request's query: 1 to 10,000. */
import type { Exchange } from "../services.ts";
import { invalidArgument } from "./refusals.ts";

export const partNumberMax = 10_000;

/** `undefined` if the request names none. `InvalidArgument`. */
export function partNumberOf({ query }: Pick<Exchange, "query">): number | undefined {
  const text = query.get("partNumber");
  if (text === undefined) return undefined;
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= partNumberMax) return number;
  throw invalidArgument(
    `Part number must be an integer between 1 and ${partNumberMax}, inclusive`,
    {
      ArgumentName: "partNumber",
      ArgumentValue: text,
    },
  );
}
