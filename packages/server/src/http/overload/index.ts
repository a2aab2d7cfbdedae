/** Overload protection, as the HTTP layer uses it. */
export { type OverloadConfig, overloadConfig } from "./config.ts";
export { Overload, type Place } from "./overload.ts";
