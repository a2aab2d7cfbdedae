/**
 * What a request says about who sends it: in headers, by HTTP Basic, or in the members of its JSON whose names
 * begin with `_`. Nothing is believed yet.
 */
import type { FastifyRequest } from "fastify";
import { OperationalError } from "../../core/errors.ts";

export type ClientKeyName = "clientKey" | "javascriptKey" | "restAPIKey" | "dotNetKey";

export interface Credentials {
  readonly applicationId?: string;
  readonly masterKey?: string;
  readonly clientKeys: Readonly<Partial<Record<ClientKeyName, string>>>;
  readonly sessionToken?: string;
}

export const clientKeyHeaders: Readonly<Record<ClientKeyName, string>> = {
  clientKey: "x-parse-client-key",
  javascriptKey: "x-parse-javascript-key",
  restAPIKey: "x-parse-rest-api-key",
  dotNetKey: "x-parse-windows-key",
};

/** `invalid_request` for two applications in one request. */
export function credentialsOfHeaders(request: FastifyRequest): Credentials {
  const basic = basicCredentials(request);
  const named = headerText(request, "x-parse-application-id");
  if (basic !== undefined && named !== undefined && basic.applicationId !== named) {
    throw new OperationalError(
      "invalid_request",
      "Authorization and X-Parse-Application-Id name two applications",
    );
  }
  const keys = Object.entries(clientKeyHeaders).flatMap(([name, header]) => {
    const value = headerText(request, header);
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...defined("applicationId", named ?? basic?.applicationId),
    ...defined("masterKey", headerText(request, "x-parse-master-key") ?? basic?.masterKey),
    clientKeys: { ...basic?.clientKeys, ...Object.fromEntries(keys) },
    ...defined("sessionToken", headerText(request, "x-parse-session-token")),
  };
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
  };
}

export function isBasic(request: FastifyRequest): boolean {
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
  if (javascriptKey !== undefined) return { applicationId, clientKeys: { javascriptKey } };
  return { applicationId, masterKey: text.slice(colon + 1), clientKeys: {} };
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
