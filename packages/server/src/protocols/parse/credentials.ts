/**
 * What a request says about who sends it: in headers, by HTTP Basic, or in the members of its JSON whose names
 * begin with `_`. Nothing is believed yet.
 */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { queryValue } from "../../http/index.ts";

export type ClientKeyName = "clientKey" | "javascriptKey" | "restAPIKey" | "dotNetKey";

export interface Credentials {
  readonly applicationId?: string;
  readonly masterKey?: string;
  readonly clientKeys: Readonly<Partial<Record<ClientKeyName, string>>>;
  readonly sessionToken?: string;
  /**
   * Whether there is a credential of this server: a bearer, a grant, or HTTP Basic that is not of the application
   * which the request names.
   */
  readonly isOwn: boolean;
}

export const clientKeyHeaders: Readonly<Record<ClientKeyName, string>> = {
  clientKey: "x-parse-client-key",
  javascriptKey: "x-parse-javascript-key",
  restAPIKey: "x-parse-rest-api-key",
  dotNetKey: "x-parse-windows-key",
};

/** `ofPath`: the application that the URL names. */
export function credentialsOfHeaders(request: FastifyRequest, ofPath?: string): Credentials {
  const named = ofPath ?? headerText(request, "x-parse-application-id");
  const basic = basicCredentials(request);
  const isOwn = basic !== undefined && named !== undefined && basic.applicationId !== named;
  const ofBasic = isOwn ? undefined : basic;
  const keys = Object.entries(clientKeyHeaders).flatMap(([name, header]) => {
    const value = headerText(request, header);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...defined("applicationId", named ?? ofBasic?.applicationId),
    ...defined("masterKey", headerText(request, "x-parse-master-key") ?? ofBasic?.masterKey),
    clientKeys: { ...ofBasic?.clientKeys, ...Object.fromEntries(keys) },
    ...defined("sessionToken", headerText(request, "x-parse-session-token")),
    isOwn: isOwn || hasOwn(request),
  };
}

/** A bearer, or a grant in the query. */
function hasOwn(request: FastifyRequest): boolean {
  const { authorization } = request.headers;
  const isOther = authorization !== undefined && !isBasic(request);
  return isOther || queryValue(request, "grant") !== undefined;
}

/** Of the members of a JSON body. */
export function credentialsOfFields(text: (name: string) => string | undefined): Credentials {
  return {
    ...defined("applicationId", text("_ApplicationId")),
    ...defined("masterKey", text("_MasterKey")),
    clientKeys: {
      ...defined("clientKey", text("_ClientKey")),
      ...defined("javascriptKey", text("_JavaScriptKey")),
      ...defined("restAPIKey", text("_RESTAPIKey")),
      ...defined("dotNetKey", text("_WindowsKey")),
    },
    ...defined("sessionToken", text("_SessionToken")),
    isOwn: false,
  };
}

function isBasic(request: FastifyRequest): boolean {
  return /^basic /i.test(request.headers.authorization ?? "");
}

/** `appId:masterKey`, or `appId:javascript-key=KEY`. */
function basicCredentials(request: FastifyRequest): Credentials | undefined {
  if (!isBasic(request)) return undefined;
  const encoded = (request.headers.authorization ?? "").slice("basic ".length).trim();
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon === -1) {
    throw new OperationalError("unauthenticated", "Authorization: Basic is not base64 of id:key");
  }
  const applicationId = text.slice(0, colon);
  const [, javascriptKey] = /^javascript-key=(.*)$/s.exec(text.slice(colon + 1)) ?? [];
  if (javascriptKey !== undefined) {
    return { applicationId, clientKeys: { javascriptKey }, isOwn: false };
  }
  return { applicationId, masterKey: text.slice(colon + 1), clientKeys: {}, isOwn: false };
}

/** One that is empty says nothing, as with parse-server. */
export function headerText(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function defined<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [name in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [name in Name]: Value });
}
