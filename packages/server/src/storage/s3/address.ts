// Where a storage's bucket lives: origin, host and path of its requests. The path is what is signed and
// what is sent, so nothing normalises it on the way.

import { isIP } from "node:net";
import { type AddressStyle, type Dialect, invalidSetting } from "./providers.ts";
import { encodeKey } from "./signatures/encode.ts";

/** `domain`: the host is the bucket's own, and the bucket stands nowhere. */
export type PublicAddressStyle = AddressStyle | "domain";

export interface BucketAddress {
  readonly origin: string;
  readonly host: string;
  readonly style: AddressStyle;
  pathOf(key: string | undefined): string;
}

export interface PublicAddressOptions {
  /** Where clients reach the storage, if not where the server does. */
  readonly publicEndpoint?: string | undefined;
  readonly publicAddressStyle?: PublicAddressStyle | undefined;
}

export interface AddressOptions {
  readonly endpoint?: string | undefined;
  readonly region: string;
  readonly bucket: string;
  readonly addressStyle?: AddressStyle | undefined;
  /** Of the setting that holds the endpoint, for refusals. */
  readonly name?: string;
}

/** Of signed requests that others send. `invalid_request` names the setting that cannot be. */
export function publicAddress(
  dialect: Dialect,
  options: AddressOptions & PublicAddressOptions,
): Omit<BucketAddress, "style"> {
  const { publicEndpoint: endpoint, publicAddressStyle: style } = options;
  if (endpoint === undefined) {
    if (style === undefined) return bucketAddress(dialect, options);
    throw invalidSetting("publicAddressStyle: needs a publicEndpoint");
  }
  const given = { ...options, endpoint, name: "publicEndpoint" };
  if (style === "domain") {
    const url = endpointUrl(dialect, given);
    return { origin: url.origin, host: url.host, pathOf: keysBelow(url) };
  }
  return bucketAddress(dialect, {
    ...given,
    ...(style === undefined ? {} : { addressStyle: style }),
  });
}

/** `invalid_request` names the setting that cannot be. */
export function bucketAddress(dialect: Dialect, options: AddressOptions): BucketAddress {
  const { bucket } = options;
  const style = options.addressStyle ?? dialect.addressStyle;
  if (dialect.addressStyleOnly && style !== dialect.addressStyle) {
    throw invalidSetting(`${dialect.title} takes addressStyle ${dialect.addressStyle} only`);
  }
  if (!/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i.test(bucket)) {
    throw invalidSetting("bucket: not the name of a bucket");
  }
  const url = endpointUrl(dialect, options);
  const prefix = pathPrefix(url);
  if (style === "path") {
    return {
      origin: url.origin,
      host: url.host,
      style,
      pathOf: (key) => `${prefix}/${bucket}${key === undefined ? "" : `/${encodeKey(key)}`}`,
    };
  }
  if (isIP(url.hostname.replaceAll(/[[\]]/g, "")) !== 0) {
    const { name = "endpoint" } = options;
    const message = "an address style of virtual needs a host name, not an IP address";
    throw invalidSetting(`${name}: ${message}`);
  }
  if (url.protocol === "https:" && bucket.includes(".")) {
    throw invalidSetting(
      "bucket: a name with dots does not match the certificate; use another style",
    );
  }
  return {
    origin: `${url.protocol}//${bucket}.${url.host}`,
    host: `${bucket}.${url.host}`,
    style,
    pathOf: keysBelow(url),
  };
}

/** Of an address whose host names the bucket. */
function keysBelow(url: URL): BucketAddress["pathOf"] {
  const prefix = pathPrefix(url);
  return (key) => `${prefix}/${key === undefined ? "" : encodeKey(key)}`;
}

function pathPrefix({ pathname }: URL): string {
  return pathname.replace(/\/+$/, "");
}

function endpointUrl(
  dialect: Dialect,
  { endpoint, region, name = "endpoint" }: AddressOptions,
): URL {
  const text = endpoint ?? dialect.endpoint?.replace("{region}", region);
  if (text === undefined) throw invalidSetting(`endpoint: ${dialect.title} needs one`);
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw invalidSetting(`${name}: not an http or https address`);
  }
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw invalidSetting(`${name}: only a host, a port and a path may be given`);
  }
  return url;
}
