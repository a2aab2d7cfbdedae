/** Retention and legal hold of an object: `PATCH /v1/objects/{bucket}/{key}`. */
import type { ObjectJson } from "@roma/contract";
import { OperationalError } from "../../core/errors.ts";
import { objectAddress } from "./address.ts";
import { receiveJson } from "./json-body.ts";
import { present } from "./present.ts";
import { objectHold } from "./schemas.ts";
import type { Handler, RestServices } from "./services.ts";
import { objectJson } from "./wire.ts";

export const holdObject =
  ({ objects }: RestServices): Handler =>
  async (exchange): Promise<ObjectJson> => {
    const { request, caller } = exchange;
    const address = objectAddress(request);
    const { retainUntil, legalHold } = await receiveJson(exchange, objectHold);
    if (retainUntil === undefined && legalHold === undefined) {
      throw new OperationalError("invalid_request", "neither retainUntil nor legalHold is given");
    }
    const hold = present({ retainUntil, legalHold });
    return objectJson(await objects.hold(caller.actor, address, hold), caller.actor);
  };
