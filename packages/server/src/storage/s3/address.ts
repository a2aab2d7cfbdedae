// Where a storage's bucket lives: origin, host and path of its requests. The path is what is signed and
// what is sent, so nothing normalises it on the way.

import { isIP } from "node:net";
import { type AddressStyle, type Dialect, invalidSetting } from "./providers.ts";
import { encodeKey } from "./signatures/encode.ts";

export interface BucketAddress {
  readonly origin: string;
  readonly host: string;
  readonly style: AddressStyle;
  pathOf(key: string | undefined): string;
}

export interface AddressOptions {
  readonly endpoint?: string | undefined;
  readonly region: string;
  readonly bucket: string;
  readonly addressStyle?: AddressStyle | undefined;
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
  const prefix = url.pathname.replace(/\/+$/, "");
  if (style === "path") {
    return {
      origin: url.origin,
      host: url.host,
      style,
      pathOf: (key) => `${prefix}/${bucket}${key === undefined ? "" : `/${encodeKey(key)}`}`,
    };
  }
  if (isIP(url.hostname.replaceAll(/[[\]]/g, "")) !== 0) {
    throw invalidSetting(
      "endpoint: an address style of virtual needs a host name, not an IP address",
    );
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
    pathOf: (key) => `${prefix}/${key === undefined ? "" : encodeKey(key)}`,
  };
}

function endpointUrl(dialect: Dialect, { endpoint, region }: AddressOptions): URL {
  const text = endpoint ?? dialect.endpoint?.replace("{region}", region);
  if (text === undefined) throw invalidSetting(`endpoint: ${dialect.title} needs one`);
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw invalidSetting("endpoint: not an http or https address");
  }
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw invalidSetting("endpoint: only a host, a port and a path may be given");
  }
  return url;
}
