/** What a browser brings: XMLHttpRequest and fetch, Blobs, workers for digests, IndexedDB, its events. */

import { makeCrc64Nvme } from "../digests/crc64-nvme.ts";
import { lazily } from "../lazily.ts";
import type { Connectivity } from "../upload/control.ts";
import type { ResumeStore } from "../upload/resume-store.ts";
import type { Platform, RomaOptions } from "../upload-client.ts";
import { Digester } from "./digester.ts";
import { browser } from "./globals.ts";
import { type BrowserSource, openBrowserSource } from "./sources.ts";
import { BrowserTransport, type Send } from "./transport.ts";

export interface BrowserRomaOptions extends RomaOptions {
  /**
   * Where unfinished uploads of files are remembered, so that they go on after a reload: IndexedDB
   * by default, or a store of your own; `false` remembers nothing.
   */
  readonly resume?: boolean | ResumeStore | undefined;
}

const loadDatabase = lazily(() => import("./database-store.ts"));
const loadSha256 = lazily(() => import("../digests/sha256.ts"));

export function browserPlatform(
  options: BrowserRomaOptions,
  sendBodiless?: Send,
): Platform<BrowserSource> {
  const { resume = true, endpoint } = options;
  const crc64nvme = new Digester(makeCrc64Nvme);
  let sha256: Promise<Digester> | undefined;
  const digesters = {
    crc64nvme,
    sha256: () => {
      sha256 ??= loadSha256().then(({ makeSha256 }) => new Digester(makeSha256));
      sha256.catch(() => {
        sha256 = undefined;
      });
      return sha256;
    },
  };
  const close = () => {
    crc64nvme.close();
    sha256?.then((digester) => digester.close()).catch(() => {});
  };
  return {
    transport: new BrowserTransport(endpoint, close, sendBodiless),
    openSource: (given, { length }) => openBrowserSource(digesters, given, length),
    store: resume === true ? databaseStore() : resume || undefined,
    connectivity,
  };
}

/** Fetched when an upload is large enough to be remembered. */
function databaseStore(): ResumeStore {
  let loaded: Promise<ResumeStore> | undefined;
  const store = () => {
    loaded ??= loadDatabase().then(({ DatabaseResumeStore }) => new DatabaseResumeStore());
    return loaded;
  };
  return {
    get: async (key) => await (await store()).get(key),
    set: async (key, record) => await (await store()).set(key, record),
    delete: async (key) => await (await store()).delete(key),
  };
}

const connectivity: Connectivity = {
  get online() {
    return browser.navigator?.onLine !== false;
  },
  watch(listener) {
    for (const name of ["online", "offline"]) browser.addEventListener?.(name, listener);
    return () => {
      for (const name of ["online", "offline"]) browser.removeEventListener?.(name, listener);
    };
  },
};
