/** The URLs and times of what is signed. */
import { presignUrl } from "../../authentication/index.ts";
import { OperationalError } from "../../core/errors.ts";
import type { CompanionServices, Exchange } from "./services.ts";

/** Long enough for one request to begin, and for a slow part to end: Uppy 5 gives it up then. */
const secondsMax = 60 * 60;

/** For how long to sign: not beyond the grant. `expired` when nothing is left of it. */
export function secondsLeft(
  { clock }: CompanionServices,
  { key }: Exchange,
  wanted: number = secondsMax,
): number {
  const left = Math.floor((key.expiresAt.getTime() - clock.now().getTime()) / 1000);
  if (left < 1) throw new OperationalError("expired", "the grant has expired");
  return Math.min(left, wanted, secondsMax);
}

export function bucketUrl({ s3Url, scope }: Exchange): string {
  return `${s3Url}/${scope.bucket}`;
}

export function objectUrl(exchange: Exchange, key: string): string {
  return `${bucketUrl(exchange)}/${key.split("/").map(encoded).join("/")}`;
}

export function signedUrl(
  services: CompanionServices,
  exchange: Exchange,
  request: {
    readonly method: string;
    readonly key: string;
    readonly query?: Readonly<Record<string, string>>;
    readonly expiresSeconds: number;
  },
): string {
  const url = objectUrl(exchange, request.key);
  return presignUrl(exchange.key, { ...request, url, now: services.clock.now() });
}

/** As everybody who signs encodes: RFC 3986's unreserved characters alone stay. */
function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
