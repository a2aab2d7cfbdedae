// What AWS's Signature Version 4 and OSS's version 4, which was made after it, have in common: the scope,
// the text to sign, the chained key, and the form. They differ in words only; those are data.

import { createHash, createHmac } from "node:crypto";
import type { Credentials } from "../credentials/credentials.ts";
import { basicDate, policyText, type Signature, type SigningScope } from "./signature.ts";

export interface Version4Words {
  /** Stands before the text to sign, and in requests. */
  readonly algorithm: string;
  /** Of headers and fields: `x-amz-`. */
  readonly prefix: string;
  /** The field of a form, after the prefix, that names the algorithm. */
  readonly algorithmField: string;
  /** Before the secret, where the chain of keys begins. */
  readonly secretPrefix: string;
  readonly service: string;
  /** Where the chain ends. */
  readonly terminator: string;
}

export interface Version4 {
  /** `AKID/20260102/eu-west-1/s3/aws4_request` */
  credential(scope: SigningScope): string;
  /** Hexadecimal. */
  signRequest(canonicalRequest: string, scope: SigningScope): string;
  /** Hexadecimal, of the base64 text of a form's policy. */
  signPolicy(policy: string, scope: SigningScope): string;
  readonly post: Signature["post"];
}

interface ChainedKey {
  readonly day: string;
  readonly region: string;
  readonly key: Buffer;
}

export function version4(words: Version4Words): Version4 {
  const { algorithm, prefix, service, terminator } = words;
  /** The last of each: a storage signs a day's requests with the same one. */
  const keys = new WeakMap<Credentials, ChainedKey>();

  const keyOf = ({ credentials, region, at }: SigningScope): Buffer => {
    const day = dayOf(at);
    const known = keys.get(credentials);
    if (known?.day === day && known.region === region) return known.key;
    const secret = Buffer.from(`${words.secretPrefix}${credentials.secretAccessKey}`);
    const key = [day, region, service, terminator].reduce<Buffer>(hmac, secret);
    keys.set(credentials, { day, region, key });
    return key;
  };
  const sign = (text: string, scope: SigningScope): string =>
    hmac(keyOf(scope), text).toString("hex");
  const scopeText = ({ region, at }: SigningScope): string =>
    `${dayOf(at)}/${region}/${service}/${terminator}`;
  const credential = (scope: SigningScope): string =>
    `${scope.credentials.accessKeyId}/${scopeText(scope)}`;

  return {
    credential,
    signRequest(canonicalRequest, scope) {
      const hash = createHash("sha256").update(canonicalRequest).digest("hex");
      return sign([algorithm, basicDate(scope.at), scopeText(scope), hash].join("\n"), scope);
    },
    signPolicy: sign,
    post(policy, scope) {
      const { sessionToken } = scope.credentials;
      const fields = {
        [`${prefix}${words.algorithmField}`]: algorithm,
        [`${prefix}credential`]: credential(scope),
        [`${prefix}date`]: basicDate(scope.at),
        ...(sessionToken !== undefined && { [`${prefix}security-token`]: sessionToken }),
      };
      const text = policyText(policy, fields);
      return { ...fields, policy: text, [`${prefix}signature`]: sign(text, scope) };
    },
  };
}

function dayOf(at: Date): string {
  return basicDate(at).slice(0, 8);
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
