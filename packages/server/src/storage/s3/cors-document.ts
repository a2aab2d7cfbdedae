// CORSConfiguration, as storages answer it.

import type { CorsRule } from "../../core/ports/cors-rule.ts";
import { childrenOf, parseXml, textOf, type XmlElement } from "./xml.ts";

export interface CorsDocument {
  readonly rules: readonly CorsRule[];
  /** What vendors put beside them, such as OSS's ResponseVary; each with its text. */
  readonly others: readonly XmlElement[];
}

/** Throws a SyntaxError for anything else. */
export function parseCorsDocument(text: string): CorsDocument {
  const root = parseXml(text);
  if (root.name !== "CORSConfiguration") {
    throw new SyntaxError(`${root.name.slice(0, 40)} instead of CORSConfiguration`);
  }
  return {
    rules: childrenOf(root, "CORSRule").map(ruleOf),
    others: root.children.filter(({ name }) => name !== "CORSRule"),
  };
}

function ruleOf(element: XmlElement): CorsRule {
  const id = textOf(element, "ID");
  const maxAge = textOf(element, "MaxAgeSeconds")?.trim();
  const hasMaxAge = maxAge !== undefined && /^\d{1,9}$/.test(maxAge);
  return {
    ...(id === undefined ? {} : { id }),
    allowedOrigins: valuesOf(element, "AllowedOrigin"),
    allowedMethods: valuesOf(element, "AllowedMethod"),
    allowedHeaders: valuesOf(element, "AllowedHeader"),
    exposeHeaders: valuesOf(element, "ExposeHeader"),
    ...(hasMaxAge ? { maxAgeSeconds: Number(maxAge) } : {}),
  };
}

function valuesOf(element: XmlElement, name: string): readonly string[] {
  return childrenOf(element, name).map(({ text }) => text.trim());
}
