/** Which environment this is, for clients that want to know before they change anything. */
import type { EnvironmentJson } from "@roma/contract";
import type { Handler, RestServices } from "./services.ts";

export const getEnvironment =
  ({ environment }: RestServices): Handler =>
  async (): Promise<EnvironmentJson> => ({
    environment: environment.label ?? null,
    readOnly: environment.readOnly ?? null,
  });
