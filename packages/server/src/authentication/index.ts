/** The one gate that all protocols use: a request's credential in, its actor out. */
export { type AuthenticateOptions, authenticate, type Caller, type Gate } from "./authenticate.ts";
export { assertNoSignedBody, withSignedBody } from "./signed-body.ts";
