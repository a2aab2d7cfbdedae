/** Environments: labels of data, so that what is meant for one of them is never done to another. */

/** A label of an environment: `development`, `production`. */
export const environmentPattern = /^[a-z][a-z0-9-]{0,31}$/;

/**
 * The header of a request, of any protocol, that says which environment it means, and of every answer, which
 * it is; lower-case.
 */
export const environmentHeader = "roma-environment";

/** `GET /v1/environment`. */
export interface EnvironmentJson {
  /** Of the bucket that was asked about, else the server's own; null: there is no label. */
  readonly environment: string | null;
  /** Why the server refuses every change; null: it does not. */
  readonly readOnly: string | null;
}
