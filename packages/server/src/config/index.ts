/** Option schemas, units, loading and the generated reference. */
export {
  ConfigError,
  type ConfigProblem,
  type LoadOptions,
  loadConfig,
  presetVariable,
  processEnvironment,
} from "./load.ts";
export { referenceMarkdown, referenceText } from "./reference.ts";
export {
  type AmountBounds,
  type AmountSchema,
  bytes,
  duration,
  secret,
  type Unit,
} from "./schema.ts";
export { Secret } from "./secret.ts";
export { formatBytes, formatDuration, parseBytes, parseDuration } from "./units.ts";
