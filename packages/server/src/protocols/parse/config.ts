/** Options of the Parse files interface. Those of an application are named as parse-server names them. */
import { z } from "zod";
import { bytes, duration, secret } from "../../config/index.ts";
import { isPublicUrl } from "../../http/public-url.ts";

/** As in the key of an application: it stands in URLs. */
const applicationIdPattern = /^[A-Za-z0-9._~-]{1,128}$/;

const httpUrl = z
  .string()
  .refine(isPublicUrl, { error: "must be an http or https URL without a query" });

/**
 * Extensions of what browsers run, or build a document from: whoever may upload could otherwise write pages of
 * this host. Judged without regard to case.
 */
export const extensionsDefault: readonly string[] = [
  "^(?!([xs]?html?|xht|htc|svgz?|xml|xslt?|xsd|dtd|rdf|owl|mathml|mml|rss|atom|wsdl|xul|swf|mht|mhtml)(\\+xml)?$)",
];

const fileUploadConfig = z.strictObject({
  enableForPublic: z.boolean().default(false),
  enableForAnonymousUser: z.boolean().default(false),
  enableForAuthenticatedUser: z.boolean().default(true),
  fileExtensions: z
    .array(
      z
        .string()
        .max(1000)
        .refine((text) => text === "*" || isRegularExpression(text), {
          error: "is no regular expression",
        }),
    )
    .max(100)
    .default([...extensionsDefault]),
});

const fileDownloadConfig = z.strictObject({
  enableForPublic: z.boolean().default(true),
  enableForAnonymousUser: z.boolean().default(true),
  enableForAuthenticatedUser: z.boolean().default(true),
});

export const applicationConfig = z.strictObject({
  appId: z.string().regex(applicationIdPattern, {
    error: "must be 1 to 128 letters, digits, '.', '_', '~' or '-'",
  }),
  masterKey: secret().optional(),
  clientKey: secret().optional(),
  javascriptKey: secret().optional(),
  restAPIKey: secret().optional(),
  dotNetKey: secret().optional(),
  /** The access key by whose policy everything of this application is judged. */
  accessKeyId: z.string().min(1).max(128),
  bucket: z.string().min(1).max(63).default("parse"),
  /** The parse-server that knows the sessions. */
  serverURL: httpUrl.optional(),
  /** What URLs of files begin with. */
  publicServerURL: httpUrl.optional(),
  maxUploadSize: bytes({ max: "5 TiB" }).optional(),
  preserveFileName: z.boolean().default(false),
  fileUpload: fileUploadConfig.prefault({}),
  fileDownload: fileDownloadConfig.prefault({}),
});

export const parseConfig = z.strictObject({
  applications: z
    .array(applicationConfig)
    .max(1000)
    .refine((list) => new Set(list.map(({ appId }) => appId)).size === list.length, {
      error: "has two entries with the same appId",
    })
    .default([])
    .describe(
      "Parse applications whose files are kept here (docs/protocols/parse.md). None: the id and the secret of " +
        "an access key serve as application id and master key, and files go to the bucket parse",
    ),
  maxUploadSize: bytes({ max: "5 TiB" })
    .default("1 GiB")
    .describe("size of one file at most; an application may have a limit of its own"),
  stagedMax: z
    .int()
    .min(1)
    .max(100_000)
    .default(64)
    .describe(
      "uploads at once whose credentials come after their bytes, as Parse's SDKs send them in JSON; of this and " +
        "the next two each worker has its share",
    ),
  stagedPerAddressMax: z
    .int()
    .min(1)
    .max(100_000)
    .default(16)
    .describe(
      "of these, from one address, or one /64 of IPv6 (behind a proxy: http.trustedProxies)",
    ),
  stagedBytesMax: bytes({ min: "1 MiB" })
    .default("4 GiB")
    .describe("bytes of all such uploads together that wait in storages for their credentials"),
  stagedMsMax: duration({ min: "1 s", max: "24 h" })
    .default("1 h")
    .describe("time for the body of such an upload"),
  sessionMsMax: duration({ min: "100 ms", max: "60 s" })
    .optional()
    .describe(
      "time in which a parse-server must say whose a session is; at most http.workMsMax. Left out: 5 s, or http.workMsMax if that is shorter",
    ),
  sessionCache: duration({ min: "0 ms", max: "1 h" })
    .default("30 s")
    .describe("how long its answer is believed; a session that was ended may upload for so long"),
});

export type ParseConfig = z.output<typeof parseConfig>;
export type ApplicationConfig = z.output<typeof applicationConfig>;

function isRegularExpression(text: string): boolean {
  try {
    new RegExp(text, "iu");
    return true;
  } catch {
    return false;
  }
}
