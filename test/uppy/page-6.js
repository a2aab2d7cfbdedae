// Runs in the browser: Uppy 6 as a page has it, its Dashboard and one uploader, with a URL and a grant.

import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import GoldenRetriever from "@uppy/golden-retriever";
import Tus from "@uppy/tus";
import XHRUpload from "@uppy/xhr-upload";
import "@uppy/dashboard/css/style.min.css";

/** By name: the plugin, and what a page tells it. */
const uploaders = {
  companionEndpoint: (server, grant, options) => [
    AwsS3,
    { ...options, companionEndpoint: `${server}/companion/~${grant}` },
  ],
  signRequest: (server, grant, options) => [
    AwsS3,
    {
      ...options,
      signRequest: async (request) => {
        const answer = await fetch(`${server}/companion/sign`, {
          method: "POST",
          headers: { authorization: `Bearer ${grant}`, "content-type": "application/json" },
          body: JSON.stringify(request),
        });
        return await answer.json();
      },
    },
  ],
  getCredentials: (server, grant, options) => [
    AwsS3,
    {
      ...options,
      s3Endpoint: `${server}/s3/demo`,
      getCredentials: async () => {
        const headers = { authorization: `Bearer ${grant}` };
        return await (await fetch(`${server}/companion/s3/sts`, { headers })).json();
      },
      // Who signs by himself names the key: one that fits the grant.
      generateObjectKey: ({ name }) =>
        `in/${crypto.randomUUID()}${/\.\w+$/.exec(name.toLowerCase())}`,
    },
  ],
  xhr: (server, grant) => [
    XHRUpload,
    { endpoint: `${server}/v1/objects/demo?grant=${grant}`, shouldRetry: () => false },
  ],
  tus: (server, grant) => [
    Tus,
    { endpoint: `${server}/tus/demo`, headers: { Authorization: `Bearer ${grant}` } },
  ],
};

/** What a page does that restores its files: those of any size by the database, or all by a service worker. */
const retrievers = {
  IndexedDB: async () => ({ indexedDB: { maxFileSize: 1e9, maxTotalSize: 1e9 } }),
  "service worker": async () => {
    await navigator.serviceWorker.register("/worker.js", { type: "module" });
    return { serviceWorker: true };
  },
};

globalThis.startUppy = async ({ uploader, server, grant, options = {}, retriever }) => {
  const uppy = new Uppy().use(Dashboard, { inline: true, target: "#uppy", hideAfterFinish: false });
  uppy.use(...uploaders[uploader](server, grant, options));
  if (retriever !== undefined) uppy.use(GoldenRetriever, await retrievers[retriever]());
  /** Of the one file: how far it is, and what would be restored. */
  globalThis.fileState = () => {
    const [{ progress, s3Multipart, tus } = {}] = uppy.getFiles();
    return { bytes: progress?.bytesUploaded || 0, s3Multipart, uploadUrl: tus?.uploadUrl };
  };
  globalThis.nextResult = () =>
    new Promise((resolve) => {
      uppy.once("complete", ({ successful, failed }) => {
        resolve({
          uploaded: successful.map(({ name, uploadURL }) => ({ name, uploadURL })),
          errors: failed.map(({ name, error }) => `${name}: ${error}`),
        });
      });
    });
};
document.title = "ready";
