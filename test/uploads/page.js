// Runs in the browser: uploads the page's content with tus-js-client's browser build, or with Uppy. What
// it needs of the outside comes with the call; what became of it goes back as the call's value.

import Uppy from "@uppy/core";
import Tus from "@uppy/tus";
import { Upload } from "tus-js-client";

const retryDelays = [0, 100, 200, 400, 800, ...Array.from({ length: 100 }, () => 1600)];

/** Of the page's own origin: the bytes to upload. */
async function content() {
  const answer = await fetch("/content");
  return new File([await answer.blob()], "content.bin", { lastModified: 0 });
}

/**
 * `pauseAtBytes`: resolves there, with the upload stopped. `resume`: goes on with an upload that this
 * browser remembers. `isStream`: a stream whose length is told at its end.
 */
async function uploadWithTus({ key, pauseAtBytes, resume, isStream, ...options }) {
  const file = await content();
  const methods = [];
  const { promise, resolve, reject } = Promise.withResolvers();
  const upload = new Upload(isStream ? file.stream().getReader() : file, {
    metadata: { key, filename: file.name },
    retryDelays,
    ...options,
    onBeforeRequest: (request) => void methods.push(request.getMethod()),
    onProgress: (bytes) => {
      if (bytes >= (pauseAtBytes ?? Number.POSITIVE_INFINITY)) upload.abort().then(resolve, reject);
    },
    onError: reject,
    onSuccess: resolve,
  });
  if (resume) {
    const [previous] = await upload.findPreviousUploads();
    upload.resumeFromPreviousUpload(previous);
  }
  upload.start();
  await promise;
  return { methods };
}

async function uploadWithUppy({ key, pauseMs, ...options }) {
  const uppy = new Uppy().use(Tus, { retryDelays, allowedMetaFields: ["key"], ...options });
  const file = await content();
  const id = uppy.addFile({ name: file.name, data: file, meta: { key } });
  if (pauseMs !== undefined) {
    const pause = (_file, { bytesUploaded }) => {
      if (bytesUploaded < file.size / 4) return;
      uppy.off("upload-progress", pause);
      uppy.pauseResume(id);
      setTimeout(() => uppy.pauseResume(id), pauseMs);
    };
    uppy.on("upload-progress", pause);
  }
  const { successful, failed } = await uppy.upload();
  return { successful: successful.length, errors: failed.map(({ error }) => String(error)) };
}

Object.assign(globalThis, { uploadWithTus, uploadWithUppy });
document.title = "ready";
