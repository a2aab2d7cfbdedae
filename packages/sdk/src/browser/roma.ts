/** `Roma` for browsers. */
import { Client } from "../client.ts";
import { sendByFetch } from "./fetch.ts";
import { type BrowserRomaOptions, browserPlatform } from "./platform.ts";
import type { BrowserSource } from "./sources.ts";

/** One server, one credential. Close it to end its workers. */
export class Roma extends Client<BrowserSource> {
  constructor(options: BrowserRomaOptions) {
    super(browserPlatform(options, sendByFetch), options);
  }
}
