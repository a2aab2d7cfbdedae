// Runs in the browser as the service worker of a page that restores its files: as the plugin's own documents say.
import "@uppy/golden-retriever/lib/ServiceWorker.js";
