// Runs in the browser: Uppy 5 with its Dashboard and the plugin for S3, with a URL and a grant.

import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";

globalThis.startUppy = ({ server, grant, options = {} }) => {
  const uppy = new Uppy().use(Dashboard, { inline: true, target: "#uppy", hideAfterFinish: false });
  uppy.use(AwsS3, {
    ...options,
    endpoint: `${server}/companion`,
    headers: { authorization: `Bearer ${grant}` },
  });
  globalThis.fileState = () => ({ bytes: uppy.getFiles()[0]?.progress.bytesUploaded || 0 });
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
