/** The OpenAPI document as one readable page: static HTML without scripts or outside assets. */
import { createHash } from "node:crypto";
import type { Json, JsonObject } from "./openapi-schemas.ts";

export interface DocsPage {
  readonly html: string;
  /** Allows the page's own style, by its hash, and nothing else. */
  readonly contentSecurityPolicy: string;
}

const style = `
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}
code,pre{font:14px/1.5 ui-monospace,monospace}pre{background:#f4f4f4;padding:1rem;overflow:auto}
section{border-top:1px solid #ddd;margin-top:1.5rem}h3 code{font-size:17px;overflow-wrap:anywhere}
.method{display:inline-block;min-width:4.5rem;font-weight:700}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}td:first-child{white-space:nowrap}
@media (prefers-color-scheme:dark){body{background:#161616;color:#ddd}pre{background:#222}a{color:#8ab4f8}}
`;

export function renderDocsPage(document: JsonObject): DocsPage {
  const info = objectAt(document, "info");
  const paths = objectAt(document, "paths");
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(asObject(item)).map(([method, operation]) =>
      renderOperation(document, { method, path, operation: asObject(operation) }),
    ),
  );
  const schemas = Object.entries(objectAt(objectAt(document, "components"), "schemas"));
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(textAt(info, "title"))} REST protocol</title><style>${style}</style></head>
<body><main><h1>${escaped(textAt(info, "title"))} REST protocol</h1>
<p>${prose(textAt(info, "description"))}</p>
<p>For machines: <a href="openapi.json">openapi.json</a>.</p>
<h2>Operations</h2>
${operations.join("\n")}
<h2>Shapes</h2>
${schemas.map(([name, schema]) => renderSchema(name, schema)).join("\n")}
</main></body></html>
`;
  const hash = createHash("sha256").update(style).digest("base64");
  return {
    html,
    contentSecurityPolicy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
}

function renderOperation(
  document: JsonObject,
  {
    method,
    path,
    operation,
  }: { readonly method: string; readonly path: string; readonly operation: JsonObject },
): string {
  const parameters = listAt(operation, "parameters").map((parameter) => {
    const resolved = resolve(document, asObject(parameter));
    const where = `${textAt(resolved, "name")}</code> (${escaped(textAt(resolved, "in"))})`;
    return row(`<code>${where}`, prose(textAt(resolved, "description")));
  });
  const answers = Object.entries(objectAt(operation, "responses")).map(([status, response]) =>
    row(`<code>${escaped(status)}</code>`, describeAnswer(resolve(document, asObject(response)))),
  );
  const body = Object.entries(objectAt(objectAt(operation, "requestBody"), "content")).map(
    ([type, content]) =>
      row(`<code>${escaped(type)}</code>`, schemaLink(objectAt(asObject(content), "schema"))),
  );
  const id = escaped(textAt(operation, "operationId"));
  return `<section id="${id}"><h3><span class="method">${escaped(method.toUpperCase())}</span> <code>/v1${escaped(path)}</code></h3>
<p>${prose(textAt(operation, "summary"))}. ${prose(textAt(operation, "description"))}</p>
${table("Parameters", parameters)}${table("Body", body)}${table("Answers", answers)}</section>`;
}

function describeAnswer(response: JsonObject): string {
  const content = Object.values(objectAt(response, "content"))[0];
  const link = schemaLink(objectAt(asObject(content ?? null), "schema"));
  return `${prose(textAt(response, "description"))} ${link}`;
}

function renderSchema(name: string, schema: Json): string {
  const json = escaped(JSON.stringify(schema, undefined, 2));
  return `<section id="schema-${escaped(name)}"><h3><code>${escaped(name)}</code></h3><pre>${json}</pre></section>`;
}

function schemaLink(schema: JsonObject): string {
  const name = textAt(schema, "$ref").split("/").at(-1) ?? "";
  if (name === "") return prose(textAt(schema, "description"));
  return `<a href="#schema-${escaped(name)}"><code>${escaped(name)}</code></a>`;
}

function table(title: string, rows: readonly string[]): string {
  return rows.length === 0 ? "" : `<h4>${title}</h4><table>${rows.join("")}</table>`;
}

function row(first: string, second: string): string {
  return `<tr><td>${first}</td><td>${second}</td></tr>`;
}

function resolve(document: JsonObject, value: JsonObject): JsonObject {
  const reference = textAt(value, "$ref");
  if (reference === "") return value;
  return reference.split("/").slice(1).reduce(objectAt, document);
}

function asObject(value: Json): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : {};
}

function objectAt(value: JsonObject, name: string): JsonObject {
  return asObject(value[name] ?? null);
}

function listAt(value: JsonObject, name: string): readonly Json[] {
  const list = value[name];
  return Array.isArray(list) ? list : [];
}

function textAt(value: JsonObject, name: string): string {
  const text = value[name];
  return typeof text === "string" ? text : "";
}

/** Plain text in which backquotes mean code. */
function prose(text: string): string {
  return escaped(text).replaceAll(/`([^`]*)`/g, "<code>$1</code>");
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character);
}
