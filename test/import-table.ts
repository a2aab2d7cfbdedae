// The direction of imports (STYLE.md §3) as examples, for imports.test.ts: what must be reported and
// what must not, for every row of the table and every depth of folders. The files need not exist.

/** Imports of one file: Biome must report every forbidden one and no allowed one. */
export type Row = {
  /** Where the imports are planted. */
  readonly from: string;
  readonly forbidden: readonly string[];
  readonly allowed: readonly string[];
};

/** Where the server's folders are. */
export const server = "packages/server/src";
/** For each row of biome.imports.jsonc, a file that it applies to. */
export const rows: readonly Row[] = [
  {
    from: "packages/contract/src/errors.ts",
    forbidden: [
      "@roma/server",
      "@roma/sdk",
      "zod",
      "node:fs",
      "../../server/src/index.ts",
      "../x.ts",
    ],
    allowed: ["./limits.ts", "./rest/objects.ts"],
  },
  {
    from: "packages/contract/src/rest/objects.ts",
    forbidden: ["@roma/contract", "../../../sdk/src/index.ts", "zod"],
    allowed: ["./buckets.ts", "../limits.ts"],
  },
  {
    from: `${server}/config/units.ts`,
    forbidden: [
      "../core/errors.ts",
      "../http/body.ts",
      "@roma/contract",
      "kysely",
      "fastify",
      "./../core/a.ts",
    ],
    allowed: ["./load.ts", "zod", "node:fs"],
  },
  {
    from: `${server}/config/sub/units.ts`,
    forbidden: ["../../core/errors.ts", "@roma/sdk"],
    allowed: ["../load.ts", "./a.ts"],
  },
  {
    from: `${server}/core/objects.ts`,
    forbidden: [
      ...[
        "../http/body.ts",
        "../storage/posix/driver.ts",
        "../metadata/index.ts",
        "../config/units.ts",
      ],
      ...[
        "../protocols/rest/routes.ts",
        "../operations/sweeper.ts",
        "../server.ts",
        "../server-config.ts",
      ],
      ...[
        "node:fs",
        "node:fs/promises",
        "node:http",
        "node:net",
        "node:sqlite",
        "node:worker_threads",
      ],
      ...[
        "kysely",
        "fastify",
        "undici",
        "zod",
        "pino",
        "@roma/server",
        "@roma/sdk",
        "@roma/contract/src/x.ts",
      ],
      ...["./../http/body.ts", "./ports/../../http/body.ts", "../../../sdk/src/index.ts"],
    ],
    allowed: [
      "./errors.ts",
      "./ports/clock.ts",
      "./digests/crc64-nvme.ts",
      "@roma/contract",
      "node:crypto",
    ],
  },
  {
    from: `${server}/core/ports/clock.ts`,
    forbidden: [
      "../../http/body.ts",
      "../../storage/index.ts",
      "node:fs",
      "kysely",
      "fastify",
      "@roma/sdk",
    ],
    allowed: [
      "../errors.ts",
      "./log.ts",
      "../digests/crc64-nvme.ts",
      "@roma/contract",
      "node:crypto",
    ],
  },
  {
    from: `${server}/http/body.ts`,
    forbidden: [
      ...[
        "../core/objects.ts",
        "../core/uploads.ts",
        "../storage/index.ts",
        "../metadata/index.ts",
        "../server.ts",
      ],
      ...[
        "../protocols/rest/routes.ts",
        "../operations/sweeper.ts",
        "@roma/sdk",
        "kysely",
        "node:sqlite",
      ],
    ],
    allowed: [
      "../core/errors.ts",
      "../core/ports/clock.ts",
      "../config/units.ts",
      "@roma/contract",
      "fastify",
      "./a.ts",
    ],
  },
  {
    from: `${server}/http/sub/body.ts`,
    forbidden: [
      "../../authentication/index.ts",
      "../../core/objects.ts",
      "../../storage/index.ts",
      "../../protocols/rest/routes.ts",
      "@roma/server",
    ],
    allowed: [
      "../../core/errors.ts",
      "../../core/ports/log.ts",
      "../../config/units.ts",
      "../a.ts",
    ],
  },
  {
    from: `${server}/authentication/authenticate.ts`,
    forbidden: [
      ...["../protocols/rest/routes.ts", "../storage/index.ts", "../metadata/index.ts"],
      ...["../operations/sweeper.ts", "../server.ts", "kysely", "node:sqlite", "@roma/sdk"],
    ],
    allowed: [
      ...["../http/index.ts", "../core/access-keys.ts", "../config/units.ts", "./sigv4.ts"],
      ...["@roma/contract", "fastify", "node:crypto"],
    ],
  },
  {
    from: `${server}/authentication/sub/a.ts`,
    forbidden: ["../../protocols/rest/routes.ts", "../../storage/index.ts", "../../server.ts"],
    allowed: ["../../http/index.ts", "../../core/access.ts", "../sigv4.ts", "./b.ts"],
  },
  {
    from: `${server}/protocols/shared.ts`,
    forbidden: ["../storage/index.ts", "../metadata/index.ts", "../server.ts", "kysely"],
    allowed: ["../authentication/index.ts", "../http/body.ts", "../core/objects.ts"],
  },
  {
    from: `${server}/protocols/rest/routes.ts`,
    forbidden: [
      ...[
        "../tus/routes.ts",
        "../shared.ts",
        "../../storage/index.ts",
        "../../storage/posix/driver.ts",
      ],
      ...[
        "../../metadata/index.ts",
        "../../operations/sweeper.ts",
        "../../server.ts",
        "../../server-config.ts",
      ],
      ...["../../index.ts", "@roma/sdk", "@roma/server", "kysely", "./../tus/routes.ts"],
    ],
    allowed: [
      "./wire.ts",
      "./sub/a.ts",
      "../../authentication/index.ts",
      "../../http/body.ts",
      "../../core/objects.ts",
      "../../config/units.ts",
      "@roma/contract",
      "fastify",
    ],
  },
  {
    from: `${server}/protocols/companion/routes.ts`,
    forbidden: ["../s3/routes.ts", "../rest/address.ts", "../../storage/index.ts", "kysely"],
    allowed: ["../../authentication/index.ts", "../../core/multipart/index.ts", "./sign.ts"],
  },
  {
    from: `${server}/protocols/rest/sub/a.ts`,
    forbidden: ["../../tus/routes.ts", "../../../storage/index.ts", "../../../server.ts", "kysely"],
    allowed: [
      "../wire.ts",
      "./b.ts",
      "../other/c.ts",
      "../../../authentication/index.ts",
      "../../../http/body.ts",
      "../../../core/objects.ts",
    ],
  },
  {
    from: `${server}/content-types/detect.ts`,
    forbidden: [
      "../http/body.ts",
      "../storage/index.ts",
      "../server.ts",
      "fastify",
      "kysely",
      "@roma/sdk",
    ],
    allowed: [
      "../core/ports/type-detector.ts",
      "../core/content-type.ts",
      "file-type",
      "./families.ts",
    ],
  },
  {
    from: `${server}/content-types/sub/detect.ts`,
    forbidden: ["../../http/body.ts", "../../storage/index.ts", "@roma/sdk"],
    allowed: ["../../core/ports/type-detector.ts", "../families.ts"],
  },
  {
    from: `${server}/supervisor/relay.ts`,
    forbidden: [
      ...["../http/server.ts", "../core/objects.ts", "../operations/metrics.ts", "../server.ts"],
      ...["../storage/index.ts", "../metadata/index.ts", "kysely", "fastify", "@roma/sdk"],
    ],
    allowed: [
      ...["../core/errors.ts", "../core/ports/siblings.ts", "../config/units.ts"],
      ...["@roma/contract", "./messages.ts"],
    ],
  },
  ...["images", "operations", "guards", "logging"].flatMap((folder): Row[] => [
    {
      from: `${server}/${folder}/step.ts`,
      forbidden: [
        ...[
          "../storage/index.ts",
          "../metadata/index.ts",
          "../protocols/rest/routes.ts",
          "../server.ts",
        ],
        ...["@roma/sdk", "kysely", ...(folder === "images" ? ["../http/body.ts"] : [])],
      ],
      allowed: [
        ...["../core/objects.ts", "../config/units.ts", "@roma/contract", "./a.ts"],
        ...(folder === "images" ? [] : ["../http/body.ts"]),
      ],
    },
    {
      from: `${server}/${folder}/sub/step.ts`,
      forbidden: [
        "../../storage/index.ts",
        "../../protocols/rest/routes.ts",
        "../../server.ts",
        "kysely",
      ],
      allowed: ["../../core/objects.ts", "../../config/units.ts", "../a.ts"],
    },
  ]),
  ...["storage", "metadata"].flatMap((folder): Row[] => {
    const other = folder === "storage" ? "metadata" : "storage";
    const vendor = folder === "storage" ? "kysely" : "fastify";
    return [
      {
        from: `${server}/${folder}/index.ts`,
        forbidden: [
          `../${other}/index.ts`,
          "../http/body.ts",
          "../protocols/rest/routes.ts",
          "../server.ts",
          vendor,
        ],
        allowed: [
          "./memory/driver.ts",
          "../core/ports/clock.ts",
          "../core/errors.ts",
          "../config/units.ts",
        ],
      },
      {
        from: `${server}/${folder}/one/driver.ts`,
        forbidden: [
          ...[
            "../two/driver.ts",
            `../../${other}/index.ts`,
            "../../http/body.ts",
            "../../protocols/rest/a.ts",
          ],
          ...["../../operations/sweeper.ts", "../../server.ts", "@roma/sdk", vendor, "fastify"],
        ],
        allowed: [
          ...[
            "../../core/ports/storage-driver.ts",
            "../../core/errors.ts",
            "../../core/digests/crc64-nvme.ts",
          ],
          ...[
            "../../config/units.ts",
            "@roma/contract",
            "../range.ts",
            "./a.ts",
            "./sub/a.ts",
            "node:fs",
          ],
          ...(folder === "metadata" ? ["../queries/a.ts", "../migrations/a.ts", "kysely"] : []),
        ],
      },
      {
        from: `${server}/${folder}/one/sub/a.ts`,
        forbidden: [
          "../../two/driver.ts",
          `../../../${other}/index.ts`,
          "../../../http/body.ts",
          vendor,
        ],
        allowed: ["../../../core/errors.ts", "../driver.ts", "../../range.ts", "./b.ts"],
      },
    ];
  }),
  {
    from: `${server}/storage/layers/retry.ts`,
    forbidden: ["../posix/driver.ts", "../../metadata/index.ts"],
    allowed: ["../../core/digests/crc64-nvme.ts", "./meter.ts"],
  },
  {
    from: `${server}/other.ts`,
    forbidden: ["./server.ts", "./server-config.ts", "@roma/sdk", "../../sdk/src/index.ts"],
    allowed: ["./core/objects.ts", "./storage/index.ts"],
  },
  {
    from: `${server}/server.ts`,
    forbidden: ["./index.ts", "@roma/sdk", "roma"],
    allowed: [
      "@roma/console",
      "./server-config.ts",
      "./core/objects.ts",
      "./storage/index.ts",
      "./protocols/rest/routes.ts",
    ],
  },
  {
    from: `${server}/serve.ts`,
    forbidden: ["./index.ts", "@roma/sdk"],
    allowed: ["./server.ts", "./server-config.ts"],
  },
  {
    from: `${server}/index.ts`,
    forbidden: ["@roma/sdk", "../../cli/src/main.ts"],
    allowed: ["./server.ts", "./server-config.ts", "@roma/contract"],
  },
  {
    from: "packages/sdk/src/client.ts",
    forbidden: [
      "@roma/server",
      "@roma/console",
      "roma",
      "node:fs",
      "undici",
      "./node/files.ts",
      "./browser/files.ts",
      "./server/mint.ts",
    ],
    allowed: ["@roma/contract", "./errors.ts"],
  },
  {
    from: "packages/sdk/src/sub/a.ts",
    forbidden: [
      "@roma/server",
      "node:fs",
      "../node/files.ts",
      "../browser/files.ts",
      "../../../server/src/index.ts",
    ],
    allowed: ["@roma/contract", "../errors.ts"],
  },
  {
    from: "packages/sdk/src/node/files.ts",
    forbidden: ["@roma/server", "../browser/files.ts", "undici", "../../x.ts"],
    allowed: ["@roma/contract", "../client.ts", "node:fs", "node:fs/promises", "./a.ts"],
  },
  {
    from: "packages/sdk/src/browser/files.ts",
    forbidden: ["@roma/server", "../node/files.ts", "node:fs", "node:fs/promises"],
    allowed: ["@roma/contract", "../client.ts"],
  },
  {
    from: "packages/sdk/src/server/mint.ts",
    forbidden: ["@roma/server", "../node/files.ts", "../browser/files.ts", "node:fs", "../../x.ts"],
    allowed: ["@roma/contract", "../errors.ts", "node:crypto", "./a.ts"],
  },
  {
    from: "packages/sdk/src/react/hook.ts",
    forbidden: ["@roma/server", "../node/files.ts", "../browser/files.ts", "node:fs", "react-dom"],
    allowed: ["@roma/contract", "../client.ts", "react"],
  },
  {
    from: "packages/console/src/page.ts",
    forbidden: ["@roma/server", "roma", "../../sdk/src/index.ts"],
    allowed: ["@roma/contract", "@roma/sdk", "./a.ts"],
  },
  {
    from: "packages/console/src/sub/page.ts",
    forbidden: ["@roma/server", "../../../sdk/src/index.ts"],
    allowed: ["@roma/contract", "@roma/sdk", "../a.ts"],
  },
  {
    from: "packages/cli/src/main.ts",
    forbidden: ["@roma/console", "@roma/server/src/server.ts", "../../server/src/server.ts"],
    allowed: [
      "@roma/contract",
      "@roma/sdk",
      "@roma/sdk/node",
      "@roma/server",
      "commander",
      "./a.ts",
    ],
  },
  {
    from: "packages/cli/src/commands/upload.ts",
    forbidden: ["@roma/console", "../../../server/src/server.ts"],
    allowed: ["@roma/contract", "@roma/sdk/node", "@roma/server", "../a.ts"],
  },
  {
    from: "packages/parse-files-adapter/src/adapter.ts",
    forbidden: ["@roma/server", "@roma/sdk", "roma", "parse-server", "../../sdk/src/client.ts"],
    allowed: ["@roma/contract", "@roma/sdk/node", "@roma/sdk/server", "node:http", "./options.ts"],
  },
  {
    from: "packages/parse-file-controller/src/requests.ts",
    forbidden: ["@roma/contract", "@roma/sdk", "parse", "node:http", "./node/bodies.ts"],
    allowed: ["./sdk.ts"],
  },
  {
    from: "packages/parse-file-controller/src/browser/controller.ts",
    forbidden: ["@roma/contract", "@roma/sdk", "parse", "node:http", "../node/bodies.ts"],
    allowed: ["../sdk.ts", "./globals.ts"],
  },
  {
    from: "packages/parse-file-controller/src/node/controller.ts",
    forbidden: ["@roma/contract", "@roma/sdk/node", "parse", "undici", "../browser/globals.ts"],
    allowed: ["../sdk.ts", "./bodies.ts", "node:http"],
  },
  {
    from: `${server}/core/objects.test.ts`,
    forbidden: [],
    allowed: ["../storage/memory/driver.ts", "node:fs"],
  },
];
