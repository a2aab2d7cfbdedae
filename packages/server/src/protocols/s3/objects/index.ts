/** Operations on objects. */
export { objectOperations } from "./operations.ts";
