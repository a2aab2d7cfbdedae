import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { errorCodes } from "@roma/contract";
import { openapiDocument } from "./openapi.ts";
import { startRest } from "./testing.ts";

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly { readonly $ref: string }[];
  readonly responses: Readonly<
    Record<string, { readonly description?: string; readonly $ref?: string }>
  >;
  readonly security?: readonly object[];
}

const document = JSON.parse(JSON.stringify(openapiDocument({}))) as {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
};

test("every registered route is described, and everything described is registered", async (t) => {
  const { registered } = await startRest(t);
  const routes = registered.map((name) =>
    name.replace("/*", "/{key}").replaceAll(/:(\w+)/g, "{$1}"),
  );
  const described = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} /v1${path}`),
  );
  assert.deepEqual(described.toSorted(), routes.toSorted());
});

test("the document keeps the rules of OpenAPI 3.1", () => {
  assert.match(document.openapi, /^3\.1\.\d$/);
  assert.ok(document.info.title && document.info.version);
  assert.deepEqual(document.servers, [{ url: "/v1" }]);
  for (const publicUrl of ["https://files.example/roma", "https://files.example/roma/"]) {
    const { servers } = openapiDocument({ publicUrl });
    assert.deepEqual(servers, [{ url: "https://files.example/roma/v1" }]);
  }
  const ids = new Set<string>();
  const methods = new Set(["get", "head", "put", "post", "patch", "delete"]);
  for (const [path, item] of Object.entries(document.paths)) {
    assert.match(path, /^\//);
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    for (const [method, operation] of Object.entries(item)) {
      assert.ok(methods.has(method), method);
      assert.ok(!ids.has(operation.operationId), operation.operationId);
      ids.add(operation.operationId);
      assert.ok(operation.summary);
      assert.ok(Object.keys(operation.responses).some((status) => /^[23]\d\d$/.test(status)));
      for (const status of Object.keys(operation.responses)) assert.match(status, /^[1-5]\d\d$/);
      const parameters = operation.parameters.map(
        ({ $ref }) => resolve($ref) as Record<string, unknown>,
      );
      const named = parameters.filter((parameter) => parameter.in === "path");
      assert.deepEqual(
        named.map(({ name }) => name),
        inPath,
        path,
      );
      assert.ok(named.every(({ required }) => required === true));
      const unique = new Set(parameters.map((parameter) => `${parameter.in} ${parameter.name}`));
      assert.equal(unique.size, parameters.length);
    }
  }
  walk(document, (value) => {
    if (typeof value.$ref === "string") assert.notEqual(resolve(value.$ref), undefined, value.$ref);
  });
  const schemes = document.components.securitySchemes ?? {};
  walk(document, (value) => {
    for (const requirement of Array.isArray(value.security) ? value.security : []) {
      for (const name of Object.keys(requirement)) assert.ok(Object.hasOwn(schemes, name), name);
    }
  });
  for (const [name, response] of Object.entries(document.components.responses ?? {})) {
    assert.ok((response as { description?: string }).description, name);
  }
});

test("the problem schema knows every error code, and every part of the document is used", () => {
  const text = JSON.stringify(document);
  for (const code of errorCodes) assert.ok(text.includes(`\`${code}\``), code);
  for (const group of ["schemas", "parameters", "headers"]) {
    for (const name of Object.keys(document.components[group] ?? {})) {
      assert.ok(text.includes(`"#/components/${group}/${name}"`), `${group} ${name}`);
    }
  }
});

test("both are served to anybody: the document as JSON, and a page that can load nothing", async (t) => {
  const { call } = await startRest(t);
  const json = await call("GET", "/v1/openapi.json", { as: "nobody" });
  assert.equal(json.headers["content-type"], "application/json; charset=utf-8");
  assert.deepEqual(json.json, document);
  const page = await call("GET", "/v1/docs", { as: "nobody" });
  assert.equal(page.headers["content-type"], "text/html; charset=utf-8");
  const policy = String(page.headers["content-security-policy"]);
  assert.match(policy, /^default-src 'none'; style-src 'sha256-/);
  const style = /<style>([\s\S]*)<\/style>/.exec(page.text)?.[1] ?? "";
  const hash = createHash("sha256").update(style).digest("base64");
  assert.ok(policy.includes(`'sha256-${hash}'`));
  assert.doesNotMatch(page.text, /<script|src=|https?:\/\/|style=/);
  for (const [path, item] of Object.entries(document.paths)) {
    assert.ok(page.text.includes(`<code>/v1${path}</code>`), path);
    for (const { operationId } of Object.values(item))
      assert.ok(page.text.includes(`id="${operationId}"`));
  }
  for (const [, id = ""] of page.text.matchAll(/href="#([^"]+)"/g)) {
    assert.ok(page.text.includes(`id="${id}"`), id);
  }
  const head = await call("HEAD", "/v1/docs", { as: "nobody" });
  assert.equal(head.body.length, 0);
  assert.equal(head.headers["content-length"], page.headers["content-length"]);
});

function resolve(reference: string): unknown {
  let value: unknown = document;
  for (const name of reference.split("/").slice(1)) {
    value = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  }
  return value;
}

function walk(value: unknown, visit: (value: Record<string, unknown>) => void): void {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) visit(value as Record<string, unknown>);
  for (const inner of Object.values(value)) walk(inner, visit);
}
