/**
 * What a request is about, as V2 signs it: `/bucket/key`, the same for both styles of address and without what
 * a server or a proxy has before the bucket in the path. boto3 and s3cmd sign it so for `https://h/s3` too.
 */
import { bucketOfHost } from "./bucket-host.ts";
import { recodedPath } from "./canonical-request.ts";

export interface ResourceOptions {
  /** As sent. */
  readonly path: string;
  readonly host: string;
  /** In lower case. */
  readonly domains: readonly string[];
  /** Where the path's bucket begins: `/s3`, or empty. */
  readonly basePath: string;
}

/** Each spelling that signers may have used; all stand for the same resource. */
export function signedResources(options: ResourceOptions): readonly string[] {
  const { path, host, domains, basePath } = options;
  if (!path.startsWith(basePath)) return [];
  const below = path.slice(basePath.length);
  const bucket = bucketOfHost(host, domains);
  // The list of buckets has no name: boto3 signs the path of its endpoint. Not so where a proxy has put `/roma`
  // before it, since `/roma/s3` is also the key `s3` of a bucket `roma`.
  if (bucket === undefined && /^\/?$/.test(below)) return ["/", path];
  const resource = bucket === undefined ? below : `/${bucket}${below}`;
  const [, alone] = /^(\/[^/]*)\/?$/.exec(resource) ?? [];
  // The slash after a bucket is the signer's choice, whatever is sent.
  const all = alone === undefined ? [resource] : [`${alone}/`, alone];
  return [...new Set([...all, ...all.map(recodedPath)])];
}
