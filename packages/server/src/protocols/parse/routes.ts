/**
 * The plugin: Parse's files as its SDKs ask for them. Everything is answered with JSON that they can read, an
 * upload is never redirected, and no other part of Parse is here.
 */
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import { isChange } from "../../authentication/index.ts";
import { allowCors, errorHandler } from "../../http/index.ts";
import { corsRulesOf, parseCors } from "./cors.ts";
import { deleteFile } from "./delete.ts";
import { invalidName, parseCodes, refusal, renderParseError } from "./errors.ts";
import { readFile } from "./read.ts";
import type { Handler, ParseServices } from "./services.ts";
import { uploadFile } from "./upload.ts";

interface Route {
  readonly method: "GET" | "HEAD" | "POST" | "DELETE";
  readonly url: string;
  readonly handler: Handler;
}

/** To be registered with the prefix `/parse`, on an instance of `createHttp`. */
export function parseProtocol(services: ParseServices): FastifyPluginAsync {
  const read = readFile(services);
  const routes: readonly Route[] = [
    { method: "POST", url: "/files", handler: refuseNameless },
    { method: "POST", url: "/files/*", handler: uploadFile(services) },
    { method: "GET", url: "/files/:applicationId/*", handler: read },
    { method: "HEAD", url: "/files/:applicationId/*", handler: read },
    { method: "DELETE", url: "/files/*", handler: deleteFile(services) },
  ];
  return async (app) => {
    allowCors(app, { ...parseCors, rulesOf: (request) => corsRulesOf(services, request) });
    app.setErrorHandler(errorHandler(renderParseError));
    for (const { method, url, handler } of routes) {
      app.route({
        method,
        url,
        handler: async (request: FastifyRequest, reply: FastifyReply) => {
          // Before a byte is asked for: the credentials may come behind the file.
          if (isChange(method)) services.environment.assertWritable();
          return await handler({ request, reply });
        },
      });
    }
    for (const url of ["/", "/*"]) {
      app.options(url, (_request, reply) => reply.code(200).send("OK"));
    }
    app.setNotFoundHandler(async () => {
      const message = "There is nothing at this path: of Parse, this server has the files.";
      throw refusal("unsupported", parseCodes.commandUnavailable, message, { status: 404 });
    });
  };
}

const refuseNameless: Handler = async () => {
  throw invalidName("Filename not provided.");
};
