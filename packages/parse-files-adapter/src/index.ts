/**
 * What parse-server takes as `filesAdapter`: an instance, `{ module: "@roma/parse-files-adapter", options }`, or the
 * name alone, with the options from the environment.
 */
export { RomaFilesAdapter } from "./adapter.ts";
export { validateFilename } from "./filenames.ts";
export type { RomaFilesAdapterOptions } from "./options.ts";

import { RomaFilesAdapter } from "./adapter.ts";

// biome-ignore lint/style/noDefaultExport: it is what parse-server takes of a module that it loads by name
export default RomaFilesAdapter;
