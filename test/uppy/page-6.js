// Runs in the browser: Uppy 6 as a page has it, its Dashboard and one uploader, with a URL and a grant.

import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import Tus from "@uppy/tus";
import XHRUpload from "@uppy/xhr-upload";
import "@uppy/dashboard/css/style.min.css";

/** By name: the plugin, and what a page tells it. */
const uploaders = {
  companionEndpoint: (server, grant) => [
    AwsS3,
    { companionEndpoint: `${server}/companion/~${grant}` },
  ],
  signRequest: (server, grant) => [
    AwsS3,
    {
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
  getCredentials: (server, grant) => [
    AwsS3,
    {
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

globalThis.startUppy = ({ uploader, server, grant }) => {
  const uppy = new Uppy().use(Dashboard, { inline: true, target: "#uppy", hideAfterFinish: false });
  uppy.use(...uploaders[uploader](server, grant));
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
